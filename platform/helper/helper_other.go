//go:build !linux

package helper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"transom/platform"
)

func unsupported() error {
	return fmt.Errorf("a helper process for the privilege: %w", platform.ErrUnsupported)
}

// Options say how the watch and the helper are started.
type Options struct {
	Log          *slog.Logger
	UID, GID     int
	Capabilities []uintptr
	Program      string
	Args, Env    []string
}

// ServeOptions are what Serve is given by the command.
type ServeOptions struct {
	Rights
	Test     func(ctx context.Context, c Charter) error
	Patience time.Duration
}

// WatchOptions are what Watch is given by the command.
type WatchOptions struct {
	Rights
	Program string
	Args    []string
}

// A Client can't be made on this system.
type Client struct{ platform.Host }

// Start fails.
func Start(context.Context, Charter, Options) (*Client, error) { return nil, unsupported() }

// Serve fails.
func Serve(context.Context, ServeOptions) error { return unsupported() }

// Watch fails.
func Watch(context.Context, WatchOptions) error { return unsupported() }

// Lost returns nil.
func (c *Client) Lost() <-chan struct{} { return nil }

// Err fails.
func (c *Client) Err() error { return unsupported() }

// SelfTest fails.
func (c *Client) SelfTest(context.Context) error { return unsupported() }

// Lock fails: there is nothing to be alone with.
func Lock(context.Context) (io.Closer, error) { return nil, unsupported() }
