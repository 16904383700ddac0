package doctor

import "net/netip"

// Traffic is what passed while it was watched.
type Traffic struct {
	// Redirects counts the ICMP redirects that this host has sent, by interface.
	Redirects map[string]int
	// Strays are devices whose packets come in by another interface than what is
	// for them would leave by.
	Strays []Stray
	// Filtered is how many packets the kernel has dropped for their source meanwhile.
	Filtered int
}

// A Stray is a device that is not where routes say.
type Stray struct {
	From             netip.Addr
	Interface, Route string // where it comes in, and where it is looked for
}
