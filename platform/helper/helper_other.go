//go:build !linux && !darwin && !freebsd && !openbsd

package helper

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"transom/platform"
)

func unsupported() error {
	return fmt.Errorf("a helper that keeps the rights: %w; transom steer show --format pf prints rules to set up by hand, and transom listen takes what they bring", platform.ErrUnsupported)
}

// Supported says that there is none.
func Supported() error { return unsupported() }

// Options say how the watch and the helper are started.
type Options struct {
	Log          *slog.Logger
	UID, GID     int
	Lock         *Hold
	Capabilities []uintptr
	Program      string
	Args, Env    []string
}

// ServeOptions are what Serve is given by the command.
type ServeOptions struct {
	Rights
	Test       func(ctx context.Context, c Charter) error
	Translated func(c Charter) ([]string, error)
	Patience   time.Duration
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

// Ending returns nil.
func (c *Client) Ending() <-chan string { return nil }

// Err fails.
func (c *Client) Err() error { return unsupported() }

// SelfTest fails.
func (c *Client) SelfTest(context.Context) error { return unsupported() }

// LockWithin is for Lock.
const LockWithin time.Duration = 0

// A Hold can't be had on this system.
type Hold struct{}

// Close does nothing.
func (h *Hold) Close() error { return nil }

// Running returns nil: none does.
func Running() *RunningError { return nil }

// Lock fails: there is nothing to be alone with.
func Lock(context.Context, time.Duration, *slog.Logger) (*Hold, error) { return nil, unsupported() }
