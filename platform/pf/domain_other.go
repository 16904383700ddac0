//go:build !openbsd

package pf

// domain is the only one there is.
func domain() uint16 { return 0 }
