package doctor

import (
	"net/netip"
	"time"

	"transom/platform"
	"transom/platform/steer"
)

// A Question is what is asked about a machine: what would be captured there, and
// how, or what is, if a transom runs.
type Question struct {
	// Steering is what would be put in force, with the interfaces that were named.
	Steering platform.Steering
	// NoInterface says that what this host sends is meant alone.
	NoInterface bool
	// Methods are those that would be tried, the best first; empty is both.
	Methods []platform.Method
	// Running is the transom that steers here; nil if there is none.
	Running *Running
	// Watch is how long to listen to what passes; 0 does not.
	Watch time.Duration
	// Command and Gateway are what was typed, and what would be to capture, for
	// remedies that say them again.
	Command, Gateway string
	// Sudo says that who asks is not root, and has become it for this one command.
	Sudo bool
	// Backend is what would be steered by, "" or "auto" for the best.
	Backend string
	// CADir is the directory of the authority that was named, "" if none was.
	CADir string
}

// A Machine is what is known of a host, as far as capturing depends on it. What a
// check needs is here, so that each can be tried on any.
type Machine struct {
	Question
	// Root, Admin and Raw say which rights there were to look.
	Root, Admin, Raw bool
	Links            []steer.Link
	NoClients        error // why there is no interface to capture at
	named            bool  // who asks has named interfaces

	// Ways are the methods that were tried, until one that works; nothing if there
	// was no right to, or a transom runs.
	Ways     []Way
	IPTables bool     // there are its programs, for when none does
	Left     []string // of an earlier run

	Settings             Settings
	Detours              []Detour
	ReadOnly             bool     // the settings can't be changed from here
	Bridges, BridgeMends []string // that show what they carry, and commands against it
	XDP                  []string // interfaces with a program that sees packets first
	Container            bool     // as far as can be told

	PF *PF // where pf steers; the rules of Linux's filters are not there then

	Ports []Listener // on the port that would be taken

	Obstacles  []Obstacle // rules of others, for packets that matter
	RulesErr   error      // why rules can't be listed
	Docker     bool
	Flowtables []string

	Traffic *Traffic // what was seen of it; nil if nobody looked

	Authority Authority
	Clients   *Clients // nil if no transom runs that could have any

	Namespaces     error // why transom run needs root; nil if it doesn't
	NamespacesMend string
}

// A Running is a transom that steers the network.
type Running struct {
	PID  int      // 0 if it is in another container
	Args []string // its command line; nothing if it can't be read
	Dir  string   // what paths there begin at, if that can be seen
}

// Settings are the kernel's, by their names as sysctl has them. What is not there is
// not known.
type Settings map[string]string

// A Listener is a socket that listens.
type Listener struct {
	Addr netip.AddrPort
	PID  int    // 0 if it can't be seen whose it is
	Name string // of the process
	Ours bool   // it belongs to the transom that runs
}
