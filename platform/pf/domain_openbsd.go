package pf

import "golang.org/x/sys/unix"

// domain is that of this process. A routing table that is a domain has its number.
func domain() uint16 {
	n, err := unix.Getrtable()
	if err != nil {
		return 0
	}
	return uint16(n)
}
