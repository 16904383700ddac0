package steer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"transom/platform/nft"
)

// Each of the kernel's chains at a hook may drop a packet, and few count what they
// drop. So that it shows which did, a table counts the packets of a test before and
// after each of them: the chain is to blame that is between the last count and the
// first that is missing.

// way is the hooks in the order in which a test's packets come by.
var way = [...]nft.Hook{nft.Output, nft.Postrouting, nft.Prerouting, nft.Input}

// tracked is where connection tracking is.
const tracked = -200

// builtin is what the kernel itself does at a hook, and where the tables of
// iptables-legacy are, whose rules can't be listed here.
var builtin = [...]struct {
	hook     nft.Hook
	priority int
	table    string // "" is connection tracking
}{
	{nft.Output, -300, "raw"},
	{nft.Output, tracked, ""},
	{nft.Output, -150, "mangle"},
	{nft.Output, 0, "filter"},
	{nft.Output, 50, "security"},
	{nft.Postrouting, -150, "mangle"},
	{nft.Prerouting, -300, "raw"},
	{nft.Prerouting, tracked, ""},
	{nft.Prerouting, -150, "mangle"},
	{nft.Input, -150, "mangle"},
	{nft.Input, 0, "filter"},
	{nft.Input, 50, "security"},
}

// A probe counts at one place.
type probe struct {
	hook     nft.Hook
	priority int
	passed   uint64 // packets of the test
	marked   uint64 // those with the mark that brings them here
	invalid  uint64 // those that are invalid to connection tracking, if there is any
}

// probes are all of them, in the order of the way.
type probes struct {
	conn   *nft.Conn
	chains []nft.ChainInfo // everybody's
	list   []probe
}

// openProbes puts the table in force.
func (e *exchange) openProbes() (_ *probes, err error) {
	p := new(probes)
	if p.conn, err = nft.Dial(); err != nil {
		return nil, err
	}
	if p.chains, err = p.conn.Chains(); err == nil {
		p.list = places(p.chains)
		err = p.add(e.probeTable(p.list))
	}
	if err != nil {
		return nil, errors.Join(err, p.conn.Close())
	}
	return p, nil
}

// places are before and after everything that there is. A chain comes before those
// of its priority that were there.
func places(chains []nft.ChainInfo) (list []probe) {
	add := func(h nft.Hook, priority int) {
		list = append(list, probe{hook: h, priority: priority})
		if priority < math.MaxInt32 {
			list = append(list, probe{hook: h, priority: priority + 1})
		}
	}
	for _, b := range builtin {
		add(b.hook, b.priority)
	}
	for _, c := range chains {
		if isIP(c.Family) && c.Type != "" && slices.Contains(way[:], c.Hook) {
			add(c.Hook, c.Priority)
		}
	}
	slices.SortFunc(list, func(a, b probe) int {
		return cmp.Or(slices.Index(way[:], a.hook)-slices.Index(way[:], b.hook), cmp.Compare(a.priority, b.priority))
	})
	return slices.Compact(list)
}

func isIP(f nft.Family) bool { return f == nft.Inet || f == nft.IPv4 || f == nft.IPv6 }

// probeTable counts, and has no other effect.
func (e *exchange) probeTable(list []probe) *nft.Table {
	t := &nft.Table{Family: nft.Inet, Name: testName, Owned: true}
	what := []nft.Rule{{}, {e.marked(e.marks.In)}}
	if tracking() {
		what = append(what, nft.Rule{nft.CTState(nft.Invalid)})
	}
	for i, p := range list {
		by := nft.IIFName(cableNear)
		if p.hook == nft.Output || p.hook == nft.Postrouting {
			by = nft.OIFName(cableNear)
		}
		c := nft.Chain{Name: probeName(i), Type: "filter", Hook: p.hook, Priority: p.priority}
		for _, w := range what {
			c.Rules = append(c.Rules, slices.Concat(nft.Rule{by, nft.L4Proto(nft.TCP)}, w, nft.Rule{nft.Counter()}))
		}
		t.Chains = append(t.Chains, c)
	}
	return t
}

func probeName(i int) string { return fmt.Sprintf("probe%d", i) }

// tracking reports whether there may be connection tracking: to ask about it would
// begin it.
func tracking() bool {
	_, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max")
	return err == nil
}

// add puts a table in force, with an owner if the kernel knows such.
func (p *probes) add(t *nft.Table) error {
	var b nft.Batch
	b.Replace(t)
	err := p.conn.Commit(&b)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		t.Owned = false
		var b nft.Batch
		b.Replace(t)
		err = p.conn.Commit(&b)
	}
	return err
}

// close takes the table back.
func (p *probes) close() error {
	var b nft.Batch
	b.Remove(nft.Inet, testName)
	return errors.Join(p.conn.Commit(&b), p.conn.Close())
}

// read reads what has been counted.
func (p *probes) read() error {
	for i := range p.list {
		rules, err := p.conn.Rules(nft.Inet, testName, probeName(i))
		if err != nil {
			return err
		}
		for j, to := range []*uint64{&p.list[i].passed, &p.list[i].marked, &p.list[i].invalid} {
			if j < len(rules) {
				*to = rules[j].Packets
			}
		}
	}
	return nil
}

// end returns the last probe that saw a packet and the first that did not, in the
// order of the way; nil is before the first and behind the last.
func (p *probes) end() (last, missing *probe) {
	for i := range p.list {
		if p.list[i].passed == 0 {
			return last, &p.list[i]
		}
		last = &p.list[i]
	}
	return last, nil
}

// marks finds where the mark was lost on the way to routing: the last probe that saw
// it, nil if none did, and the first after it. Both are nil if it was not lost.
func (p *probes) marks() (last, missing *probe) {
	for i := range p.list {
		switch x := &p.list[i]; {
		case x.hook != nft.Prerouting || x.passed == 0:
		case x.marked > 0:
			last, missing = x, nil
		case missing == nil:
			missing = x
		}
	}
	if missing == nil {
		return nil, nil
	}
	return last, missing
}
