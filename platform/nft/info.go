package nft

// A TableInfo is what the kernel tells of a table.
type TableInfo struct {
	Family Family
	Name   string
	Owned  bool   // it has an owner that lives
	Owner  uint32 // the owner's netlink port, which mostly is its process's number
	Mine   bool   // the owner is the Conn that was asked
}

// A ChainInfo is what the kernel tells of a chain.
type ChainInfo struct {
	Family      Family
	Table, Name string
	Type        string // "" if the chain is at no hook
	Hook        Hook
	Priority    int
	Drop        bool // what no rule decides on is discarded
}

// A RuleInfo is what the kernel tells of a rule, without what it does.
type RuleInfo struct {
	Family       Family
	Table, Chain string
	Handle       uint64
	Comment      string // "" if it has none
}

// comment finds a comment in a rule's user data: entries of a type, a length
// and a value.
func comment(data []byte) string {
	for len(data) >= 2 {
		typ, size := data[0], int(data[1])
		if len(data) < 2+size {
			return ""
		}
		value := data[2 : 2+size]
		if typ == 0 {
			return cString(value)
		}
		data = data[2+size:]
	}
	return ""
}
