package steer

// A Memory has a second copy of what settings of the kernel were, as lines, for
// whoever steers next: those in the packet filter go with a flush by anybody, and
// come back only while somebody tends.
type Memory interface {
	// Recall returns what was last kept.
	Recall() ([]string, error)
	// Keep replaces it.
	Keep(lines []string) error
}
