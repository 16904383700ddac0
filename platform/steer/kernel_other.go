//go:build !linux

package steer

import (
	"context"
	"fmt"
	"log/slog"

	"transom/platform"
)

// A Kernel can't be had on this system.
type Kernel struct{}

func unsupported() error {
	return fmt.Errorf("steer packets: %w; transom steer show --format pf prints rules to set up by hand, and transom listen takes what they bring", platform.ErrUnsupported)
}

// Open fails.
func Open(*slog.Logger) (*Kernel, error) { return nil, unsupported() }

// Apply fails.
func (k *Kernel) Apply(context.Context, platform.Steering) error { return unsupported() }

// Check fails.
func (k *Kernel) Check(context.Context, platform.Steering) error { return unsupported() }

// Leftovers fails.
func (k *Kernel) Leftovers(context.Context) ([]string, error) { return nil, unsupported() }

// Cleanup fails.
func (k *Kernel) Cleanup(context.Context) ([]string, error) { return nil, unsupported() }

// Yield fails.
func (k *Kernel) Yield(context.Context) ([]string, error) { return nil, unsupported() }

// Close does nothing.
func (k *Kernel) Close() error { return nil }

// Abandon does nothing.
func (k *Kernel) Abandon() error { return nil }

// Leave takes back what has been put in force.
func (k *Kernel) Leave(context.Context) error { return unsupported() }

// Remember does nothing.
func (k *Kernel) Remember(Memory) {}
