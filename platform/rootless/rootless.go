// Package rootless captures one program and what it starts, and nothing else,
// without a right: the program runs in user, mount and network namespaces of
// its own, with its own uid and no capability, and whatever it sends comes to
// sockets that are handed out to this process. A keeper, which is this program
// started once more below a guard, is root in there; it lays the network out, makes the sockets,
// starts the program, and ends what the program leaves behind. It is outside that
// connections are carried on. The package knows nothing of proxies and trust; it is
// told which files the program is to find in place of others.
//
// Where such namespaces are forbidden root can do it another way: the program is in
// a cgroup and a mount namespace of its own, and in the host's network, where
// somebody else captures what that cgroup sends. The keeper is the same.
package rootless

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
)

// Options say how the keeper is started.
type Options struct {
	Network Network
	Log     *slog.Logger // nil is silence
	// Program and Args start the guard; nothing is /proc/self/exe and "helper
	// guard". It calls Guard, with what is added: a descriptor, and by the way of
	// root the cgroup's directory.
	Program string
	Args    []string
	// Beside, if set, is a file for the keeper: see Keep. The caller closes it.
	Beside *os.File
	// ByRoot, if set, is the way of root; there is no Network then.
	ByRoot *ByRoot
}

// ByRoot says as whom root has the program run, and in which cgroup, which is
// removed with the namespace.
type ByRoot struct {
	As     Person
	Cgroup *Cgroup
}

// A Person is whose a program is.
type Person struct {
	UID, GID int
	Groups   []int
}

// A Network is what the program finds. It has one interface, which is lo, and
// reaches us by it whatever it sends to others.
type Network struct {
	// Routes are the destinations that can be reached: those outside. Where there
	// is none of a family the program has no address of it either, so that it does
	// not try.
	Routes []netip.Prefix
	// Inside are the program's own addresses, one of each family; nothing is some
	// that are meant for documentation. Those of a family without Routes are left out.
	Inside []netip.Addr
	// Resolvers are loopback addresses whose port 53 is not the program's own,
	// but that of a name server outside.
	Resolvers []netip.Addr
	// RejectQUIC answers UDP to port 443 with port unreachable.
	RejectQUIC bool
	// LowPort is the first port that the program may listen on; 0 is the kernel's
	// default.
	LowPort uint16
}

// insidePort is where the sockets are that packets are given to. A program without
// capabilities can't want it itself.
const insidePort = 1

// has reports whether anything of the family can be reached.
func (n *Network) has(v6 bool) bool {
	for _, r := range n.Routes {
		if r.Addr().Is6() == v6 {
			return true
		}
	}
	return false
}

// addrs are the program's addresses, of the families that it has.
func (n *Network) addrs() []netip.Addr {
	from := n.Inside
	if len(from) == 0 {
		from = []netip.Addr{insides4()[0], insides6()[0]}
	}
	var as []netip.Addr
	for _, a := range from {
		if n.has(a.Is6()) {
			as = append(as, a)
		}
	}
	return as
}

// A Program is what to run, in the directory that we are in.
type Program struct {
	Path string   // a file; it is not looked for
	Args []string // the first is its name
	Env  []string
	// Hide are directories that it finds empty, but for Files.
	Hide []string
	// Files are what it finds in place of what is there, or in addition.
	Files []File
	// Hand are contents to hand to the program as open files. In them, in Args
	// and in Env the text {fd:N} stands for the descriptor of Hand[N].
	Hand []string
}

// A File is one that a program finds. It is kept in memory by the kernel, and gone
// with the program.
type File struct {
	Path    string
	Data    []byte
	Private bool // mode 0600, else 0644
}

// An End is how a program ended.
type End struct {
	Code   int // its exit code, if Signal is 0
	Signal int // what killed it
	// Left is how many processes it left behind; they were ended.
	Left int
}

// ExitCode is a shell's: 128 and the signal's number for a program that was
// killed.
func (e End) ExitCode() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// String says it for a person.
func (e End) String() string {
	if e.Signal != 0 {
		return "killed by signal " + strconv.Itoa(e.Signal)
	}
	return "exit code " + strconv.Itoa(e.Code)
}

// ErrLost is wrapped by errors of a keeper that is gone.
var ErrLost = errors.New("the keeper of the program's namespaces is gone")
