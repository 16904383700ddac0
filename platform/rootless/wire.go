package rootless

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// Messages between this process and the keeper are packets of a socket pair, each
// a JSON object. They trust each other: both are the caller's, and the program has
// no right over the keeper. What does not fit into a packet comes by a
// pipe, in the form of package gob: files of megabytes would take JSON long.
type message struct {
	Kind kind
	// ID tells requests for sockets apart.
	ID          uint64         `json:",omitempty"`
	Client, Dst netip.AddrPort // whom a socket is to hear, and as whom it is to speak
	Signal      int            `json:",omitempty"`
	// Errno and Error are of what failed; Notes of what was done without.
	Errno uint32   `json:",omitempty"`
	Error string   `json:",omitempty"`
	Notes []string `json:",omitempty"`
	End   End
}

// A brief is what the keeper is told at first.
type brief struct {
	Network Network
	As      Person // the caller
	Cgroup  string // the directory of the program's, by the way of root; else ""
}

// maxMessage is more than a message has bytes.
const maxMessage = 32 << 10

// A kind is the kind of a message.
type kind string

const (
	askNetwork kind = "network" // lay out the network of the brief in the file that comes with it; another file is for who works beside
	askStart   kind = "start"   // start the Program in the file that comes with it
	askSignal  kind = "signal"  // this came to the proxy: pass it on if the program didn't get it
	askResume  kind = "resume"  // the proxy goes on: the program may
	askAnswer  kind = "answer"  // make a socket that answers
	askRefuse  kind = "refuse"  // say to Client that nobody is at Dst

	sayReady   kind = "ready"   // the network is there; the sockets come with it
	sayStarted kind = "started" // the program runs
	sayFailed  kind = "failed"  // the network or the program could not be had
	sayStopped kind = "stopped" // the program was stopped, by Signal
	sayEnded   kind = "ended"   // the program has ended, and all that it left
	saySocket  kind = "socket"  // the socket that was asked for, or why not
)

func (m *message) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("a message of %d bytes is too long", len(b))
	}
	return b, err
}

func decode(b []byte) (*message, error) {
	m := new(message)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("broken message: %w", err)
	}
	return m, nil
}

// readFrom takes a value out of a file.
func readFrom(f *os.File, v any) error {
	return gob.NewDecoder(f).Decode(v)
}
