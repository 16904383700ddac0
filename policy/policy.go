// Package policy decides what is done with a connection: whether it is
// inspected, recorded, passed or blocked. It knows addresses and names, and no
// protocol.
package policy

import (
	"transom/flow"
)

// An Action is what to do with a connection.
type Action uint8

const (
	// Inspect goes on: TLS is terminated, messages are parsed and recorded.
	Inspect Action = iota
	// Record takes TLS off and keeps the bytes inside, but parses nothing.
	Record
	// Pass relays what comes as it is, TLS included, and records only that it
	// happened.
	Pass
	// Block ends the connection with a reset.
	Block
)

// String returns "inspect", "record", "pass" or "block".
func (a Action) String() string {
	return [...]string{"inspect", "record", "pass", "block"}[a&3]
}

// A Verdict is an action and why.
type Verdict struct {
	Action Action
	Reason string // for the record: "ignored by rule", …; "" for Inspect
}

// A Policy is an immutable, compiled list of rules.
//
// Decide is asked at accept, when only the addresses are known; after each
// layer that is found, with the name and protocols it says; and for each HTTP
// request, with a layer that carries its authority. It must not block. It is
// asked again only while the answer was Inspect or Record.
type Policy interface {
	Decide(c *flow.Conn) Verdict
}
