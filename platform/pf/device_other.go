//go:build !darwin && !freebsd && !openbsd

package pf

import "errors"

// A File is /dev/pf, which this system does not have.
type File struct{}

// Open fails.
func Open() (*File, error) { return nil, errors.New("there is no pf on this system") }

// Close does nothing.
func (f *File) Close() error { return nil }

// Ioctl fails.
func (f *File) Ioctl(uint32, []byte) error { return errors.New("there is no pf on this system") }
