package steer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// The tables of the old iptables are none of nf_tables, which can't put a rule
// into them. The kernel tells what is in them by getsockopt (struct ipt_get_entries
// of linux/netfilter_ipv4/ip_tables.h, and its like for IPv6): enough to see whether
// a firewall of that kind would drop what is ours.

// A legacyFamily is how the tables of one family are asked for, and how large
// parts of a rule are.
type legacyFamily struct {
	program       string
	names         string // the file that lists the tables which are there; to ask for another would make it
	domain, level int
	matchSize     int // struct ipt_ip, ip6t_ip6: of zeros if it matches all packets
	headerSize    int // struct ipt_entry, ip6t_entry
}

var legacyFamilies = [...]legacyFamily{
	{"iptables-legacy", "/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.SOL_IP, 84, 112},
	{"ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.SOL_IPV6, 136, 168},
}

// A legacyTable is a table, as the kernel has it.
type legacyTable struct {
	legacyFamily
	first, policy map[nft.Hook]int // where each built-in chain begins, and its last rule
	rules         []byte
}

// legacyAllows fails if a firewall of the old kind would keep packets of ours from
// us. The commands that it names mend that.
func legacyAllows(tables []*legacyTable, t *steering) error {
	var words []string
	for _, l := range tables {
		for _, h := range []nft.Hook{nft.Input, nft.Output} {
			for _, m := range t.passing(h) {
				if l.drops(h, m, t.marks.Mask) {
					words = append(words, fmt.Sprintf("%s -I %s -m mark --mark %s -j ACCEPT", l.program, chainOf(h), t.mark(m)))
				}
			}
		}
	}
	if len(words) == 0 {
		return nil
	}
	return fmt.Errorf("steering by nft is %w: a firewall of iptables-legacy drops what it does not know, which nft can't change; use --backend iptables, or first %s",
		platform.ErrUnsupported, strings.Join(words, "; "))
}

// legacyMatters reports whether rules of ours belong into tables of the old kind:
// a firewall there drops by default, or there are some.
func legacyMatters() bool {
	tables, err := legacyFilters()
	return err == nil && slices.ContainsFunc(tables, func(l *legacyTable) bool {
		return l.drops(nft.Input, 0, 0) || l.drops(nft.Output, 0, 0) || bytes.Contains(l.rules, []byte(chainPrefix))
	})
}

func chainOf(h nft.Hook) string {
	if h == nft.Output {
		return "OUTPUT"
	}
	return "INPUT"
}

// legacyFilters reads the tables filter.
func legacyFilters() ([]*legacyTable, error) { return legacyTables("filter") }

// legacyTables reads the tables of a name and of the old kind that there are in the
// network namespace of the calling thread. Who may not see them does without.
func legacyTables(name string) (list []*legacyTable, err error) {
	for _, f := range legacyFamilies {
		names, err := os.ReadFile(f.names)
		if err != nil || !slices.ContainsFunc(bytes.Split(names, []byte("\n")), func(n []byte) bool { return string(n) == name }) {
			continue
		}
		t, err := f.read(name)
		if err != nil {
			return nil, fmt.Errorf("read the rules of %s: %w", f.program, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// read asks for a table. It may change between the two questions, and is asked for
// again then.
func (f legacyFamily) read(name string) (*legacyTable, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	const getInfo, getEntries = 64, 65 // IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES
	for range 10 {
		info := make([]byte, legacyInfoSize)
		copy(info, name)
		if err := getsockopt(fd, f.level, getInfo, info); err != nil {
			return nil, err
		}
		entries := make([]byte, legacyEntriesAt+int(binary.NativeEndian.Uint32(info[80:])))
		copy(entries, name)
		copy(entries[32:], info[80:84])
		err := getsockopt(fd, f.level, getEntries, entries)
		if err == nil {
			return f.parse(info, entries[legacyEntriesAt:]), nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("table %s changes faster than it can be read: %w", name, unix.EAGAIN)
}

// Sizes of struct ipt_getinfo, and of struct ipt_get_entries without entries.
const (
	legacyInfoSize  = 84
	legacyEntriesAt = 40
)

func getsockopt(fd, level, name int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// parse reads the places of chains from a struct ipt_getinfo.
func (f legacyFamily) parse(info, rules []byte) *legacyTable {
	t := &legacyTable{f, map[nft.Hook]int{}, map[nft.Hook]int{}, rules}
	for h, i := range map[nft.Hook]int{nft.Input: 1, nft.Output: 3, nft.Postrouting: 4} { // as NF_INET_LOCAL_IN, _OUT and _POST_ROUTING
		t.first[h] = int(binary.NativeEndian.Uint32(info[36+4*i:]))
		t.policy[h] = int(binary.NativeEndian.Uint32(info[56+4*i:]))
	}
	return t
}

// drops reports whether a chain drops all that no rule lets pass by other things
// than our mark. What chains of its own do is not looked at.
func (t *legacyTable) drops(h nft.Hook, mark, mask uint32) bool {
	for at := t.first[h]; at <= t.policy[h]; {
		r, size := t.rule(at)
		if size == 0 {
			return false // not as we know it
		}
		switch {
		case r.accepts && (r.all || r.marked && r.mark == mark&r.mask && mask&r.mask == r.mask):
			return false
		case r.all && r.ends:
			return true
		}
		at += size
	}
	return false
}

// A legacyRule is what a rule does, as far as it matters.
type legacyRule struct {
	all           bool // it is for all packets
	marked        bool // it is for all packets with a mark
	mark, mask    uint32
	accepts, ends bool
}

// rule reads the rule at an offset; its size is 0 if there is none.
func (t *legacyTable) rule(at int) (r legacyRule, size int) {
	const header = 32 // struct xt_entry_match, xt_entry_target
	if at < 0 || at+t.headerSize > len(t.rules) {
		return r, 0
	}
	b := t.rules[at:]
	target := int(binary.NativeEndian.Uint16(b[t.matchSize+4:]))
	size = int(binary.NativeEndian.Uint16(b[t.matchSize+6:]))
	if target < t.headerSize || size < target+header || size > len(b) {
		return r, 0
	}
	anyone := len(bytes.Trim(b[:t.matchSize], "\x00")) == 0
	matches, does := b[t.headerSize:target], b[target:size]
	r.all = anyone && len(matches) == 0
	if anyone && len(matches) >= header+12 && int(binary.NativeEndian.Uint16(matches)) == len(matches) && legacyName(matches) == "mark" && matches[31] == 1 {
		r.mark, r.mask = binary.NativeEndian.Uint32(matches[header:]), binary.NativeEndian.Uint32(matches[header+4:])
		r.marked = matches[header+8] == 0 // not turned round
	}
	switch legacyName(does) {
	case "": // a verdict, or a jump
		if len(does) < header+4 {
			return r, 0
		}
		verdict := int32(binary.NativeEndian.Uint32(does[header:]))
		const drop, accept = -1, -2
		r.accepts, r.ends = verdict == accept, verdict == drop
	case "REJECT":
		r.ends = true
	}
	return r, size
}

// legacyName reads the name of a match or a target.
func legacyName(b []byte) string {
	name, _, _ := bytes.Cut(b[2:31], []byte{0})
	return string(name)
}
