package platform

import "fmt"

// Assumes says why no socket can have a foreign address.
func Assumes() error {
	return fmt.Errorf("macOS lets no socket have another host's address: %w", ErrUnsupported)
}

func bindAny(int, bool) error { return Assumes() }

// foreign says that nothing brings connections to foreign addresses: pf of macOS has
// rdr alone.
func foreign() error {
	return fmt.Errorf("connections that keep their destination (TPROXY, divert-to): %w; rdr rules of pf work", ErrUnsupported)
}
