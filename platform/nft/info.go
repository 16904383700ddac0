package nft

import "encoding/binary"

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
	Drop        bool   // what no rule decides on is discarded
	Device      string // of family netdev, the interface that it is at
}

// A RuleInfo is what the kernel tells of a rule, without what it does.
type RuleInfo struct {
	Family       Family
	Table, Chain string
	Handle       uint64
	Comment      string // "" if it has none
	Packets      uint64 // what its first counter has counted; 0 if it has none

	exprs string // what it does, as the kernel tells
}

// counted finds how many packets the first counter of a rule's expressions has
// seen.
func counted(list attributes) uint64 {
	for {
		_, value, rest, ok := list.next()
		if !ok {
			return 0
		}
		if e := attributes(value); e.text(1) == "counter" {
			if packets := e.get(2).get(2); len(packets) == 8 {
				return binary.BigEndian.Uint64(packets)
			}
		}
		list = rest
	}
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
