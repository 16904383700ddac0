package platform

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Network steers the host's packets: it makes them come to us.
type Network interface {
	// Apply makes the host match want: its packet filter, its policy routing
	// and its settings. It is idempotent, and a failed Apply leaves the host as
	// it was. The zero Steering takes everything back, to how it was before the
	// first Apply. What has been applied is taken back, too, when this process
	// ends, however it ends; where that is not in its power, the next one
	// finds and removes it.
	Apply(ctx context.Context, want Steering) error
}

// A Steering is the desired state of a host: which connections are brought to
// our listener, and how. It is a value; its slices are not changed.
type Steering struct {
	Method Method
	Port   uint16 // where our transparent listener listens, for IPv4 and IPv6

	// Interfaces are those that clients are behind. Connections that come in by
	// one of them and go to others than this host are captured.
	Interfaces []string
	// Local captures the connections of this host's own programs as well, but
	// for ours: sockets marked Marks.Upstream, and programs in Cgroup.
	Local bool
	// Cgroup is the path of our own cgroup below the cgroup2 mount, "" for none:
	// what runs in it is not captured by Local.
	Cgroup string
	// Program narrows Local down to the programs in a cgroup: its path below the
	// cgroup2 mount. It has to be there, and goes with no Interfaces.
	Program string

	From    []netip.Prefix // only these clients; empty is all
	Exclude []netip.Prefix // clients and servers that are left alone
	Ports   []PortRange    // TCP ports; empty is all
	// UDPPorts are the UDP ports to capture, for clients behind Interfaces or the
	// programs of Program, and by TPROXY alone; empty is none. With RejectQUIC 443
	// is not among them.
	UDPPorts []PortRange

	// RejectQUIC answers UDP to captured ports with port unreachable, so that
	// clients fall back to TCP. If all ports are captured, it is UDP to 443 alone.
	RejectQUIC bool
	// Spoof says that our sockets towards servers have the clients' addresses:
	// answers to them are diverted to us.
	Spoof bool
	// Closed refuses what would be captured while nobody is there to do it. It
	// outlives us, on purpose, until it is taken back.
	Closed bool
	// Draining stops the capturing of new connections, which go direct; the open
	// ones live on.
	Draining bool
	// Refusing has what Closed refuses by stay while draining: new connections
	// are refused instead. It is for when whoever captures can't.
	Refusing bool

	Marks Marks // zero is DefaultMarks
}

// IsZero reports whether s brings nothing.
func (s *Steering) IsZero() bool { return len(s.Interfaces) == 0 && !s.Local }

// Equal reports whether s and o ask for the same.
func (s *Steering) Equal(o *Steering) bool {
	return s.Method == o.Method && s.Port == o.Port && slices.Equal(s.Interfaces, o.Interfaces) &&
		s.Local == o.Local && s.Cgroup == o.Cgroup && s.Program == o.Program &&
		slices.Equal(s.From, o.From) && slices.Equal(s.Exclude, o.Exclude) && slices.Equal(s.Ports, o.Ports) &&
		slices.Equal(s.UDPPorts, o.UDPPorts) &&
		s.RejectQUIC == o.RejectQUIC && s.Spoof == o.Spoof && s.Closed == o.Closed &&
		s.Draining == o.Draining && s.Refusing == o.Refusing &&
		s.Marks == o.Marks
}

// Check refuses what makes no sense, whatever the host is like.
func (s *Steering) Check() error {
	switch {
	case s.IsZero():
		return nil
	case s.Port == 0:
		return errors.New("steering: no port to bring connections to")
	case s.Method != TPROXY && s.Method != Redirect:
		return fmt.Errorf("steering: method %d is not known", s.Method)
	}
	if s.Program != "" && (!s.Local || len(s.Interfaces) > 0) {
		return errors.New("steering: a program is this host's own, and captured alone")
	}
	if len(s.UDPPorts) > 0 && (s.Method != TPROXY || len(s.Interfaces) == 0 && s.Program == "") {
		return errors.New("steering: UDP is captured by tproxy alone, and only of one program or what comes in by an interface")
	}
	for _, p := range slices.Concat(s.Ports, s.UDPPorts) {
		if p.First == 0 || p.First > p.Last {
			return fmt.Errorf("steering: ports %s: want the lower one first", p)
		}
	}
	for _, p := range slices.Concat(s.From, s.Exclude) {
		if !p.IsValid() {
			return errors.New("steering: a network is not valid")
		}
	}
	return s.Marks.check()
}

// A Method is how connections are brought to the listener.
type Method uint8

const (
	// TPROXY leaves packets as they are and hands them to the listener; the
	// destination is the connection's local address. What Local captures
	// comes by Redirect in any case.
	TPROXY Method = iota + 1
	// Redirect changes the packets' destination, which connection tracking
	// remembers.
	Redirect
)

// String returns the word of the command line.
func (m Method) String() string {
	switch m {
	case TPROXY:
		return "tproxy"
	case Redirect:
		return "redirect"
	}
	return "method " + strconv.Itoa(int(m))
}

// A PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// String returns "80" or "8000-8010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ParsePorts reads a list of ports and ranges, as in "80,443,8000-8010".
func ParsePorts(text string) ([]PortRange, error) {
	var out []PortRange
	for _, word := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || a == 0 || a > b {
			return nil, fmt.Errorf("%q is no port from 1 to 65535, nor a range of them", word)
		}
		out = append(out, PortRange{uint16(a), uint16(b)})
	}
	slices.SortFunc(out, func(a, b PortRange) int { return int(a.First) - int(b.First) })
	merged := out[:1]
	for _, r := range out[1:] {
		if last := &merged[len(merged)-1]; int(r.First) <= int(last.Last)+1 {
			last.Last = max(last.Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return merged, nil
}

// Marks are the values that packets and sockets are told apart by, in the bits
// of Mask alone: the others belong to other programs.
type Marks struct {
	Mask     uint32 // which bits of SO_MARK and of the packets' mark are ours
	In       uint32 // a packet to deliver to a socket of this host
	Client   uint32 // our sockets towards clients: the listener's, inherited by what it accepts
	Upstream uint32 // our sockets towards servers
}

// DefaultMarks collide with no mask of Kubernetes, Cilium, Tailscale, Calico or
// AWS.
func DefaultMarks() Marks { return Marks{Mask: 0x70, In: 0x10, Client: 0x20, Upstream: 0x30} }

// MarksOf returns the marks within a mask of at least two bits in a row.
func MarksOf(mask uint32) (Marks, error) {
	if mask == 0 {
		return Marks{}, errors.New("mask 0: want two or three bits in a row, such as 0x70")
	}
	low := mask & -mask
	if run := mask / low; run&(run+1) != 0 || run < 3 {
		return Marks{}, fmt.Errorf("mask %#x: want two or three bits in a row, such as 0x70", mask)
	}
	return Marks{Mask: mask, In: low, Client: 2 * low, Upstream: 3 * low}, nil
}

// OrDefault returns m, or DefaultMarks if m is zero.
func (m Marks) OrDefault() Marks {
	if m == (Marks{}) {
		return DefaultMarks()
	}
	return m
}

func (m Marks) check() error {
	if m == (Marks{}) {
		return nil
	}
	for _, v := range []uint32{m.In, m.Client, m.Upstream} {
		if v == 0 || v&^m.Mask != 0 {
			return fmt.Errorf("steering: mark %#x does not lie within mask %#x", v, m.Mask)
		}
	}
	if m.In == m.Client || m.In == m.Upstream || m.Client == m.Upstream {
		return errors.New("steering: the marks are not distinct")
	}
	return nil
}
