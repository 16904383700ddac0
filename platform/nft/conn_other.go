//go:build !linux

package nft

import (
	"fmt"

	"transom/platform"
)

// A Conn can't be had on this system.
type Conn struct{}

func unsupported() error { return fmt.Errorf("nf_tables (Linux): %w", platform.ErrUnsupported) }

// Dial fails: this system has no nf_tables.
func Dial() (*Conn, error) { return nil, unsupported() }

// Close does nothing.
func (c *Conn) Close() error { return nil }

// Commit fails.
func (c *Conn) Commit(*Batch) error { return unsupported() }

// Try fails.
func (c *Conn) Try(*Batch) error { return unsupported() }

// Tables fails.
func (c *Conn) Tables() ([]TableInfo, error) { return nil, unsupported() }

// Chains fails.
func (c *Conn) Chains() ([]ChainInfo, error) { return nil, unsupported() }

// Rules fails.
func (c *Conn) Rules(Family, string, string) ([]RuleInfo, error) { return nil, unsupported() }
