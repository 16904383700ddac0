//go:build !linux

package steer

import (
	"context"
	"log/slog"

	"transom/platform"
)

// An IPTables can't be had on this system.
type IPTables struct{}

// OpenIPTables fails.
func OpenIPTables(*slog.Logger) (*IPTables, error) { return nil, unsupported() }

// Apply fails.
func (x *IPTables) Apply(context.Context, platform.Steering) error { return unsupported() }

// Check fails.
func (x *IPTables) Check(context.Context, platform.Steering) error { return unsupported() }

// Leftovers fails.
func (x *IPTables) Leftovers(context.Context) ([]string, error) { return nil, unsupported() }

// Cleanup fails.
func (x *IPTables) Cleanup(context.Context) ([]string, error) { return nil, unsupported() }

// Leave fails.
func (x *IPTables) Leave(context.Context) error { return unsupported() }

// Yield fails.
func (x *IPTables) Yield(context.Context) ([]string, error) { return nil, unsupported() }

// Close does nothing.
func (x *IPTables) Close() error { return nil }

// Abandon does nothing.
func (x *IPTables) Abandon() error { return nil }

// Remember does nothing.
func (x *IPTables) Remember(Memory) {}
