package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Tables lists the tables of all families, ours and others'.
func (c *Conn) Tables() (list []TableInfo, err error) {
	err = c.dump("tables", getTable, 0, nil, func(f Family, a attributes) {
		list = append(list, tableInfo(f, a, c.port))
	})
	return list, err
}

// Chains lists the chains of all tables.
func (c *Conn) Chains() (list []ChainInfo, err error) {
	err = c.dump("chains", getChain, 0, nil, func(f Family, a attributes) {
		list = append(list, chainInfo(f, a))
	})
	return list, err
}

// Rules lists the rules of a chain, in order, or of all chains of a table if chain
// is "". There are none in a chain that is not there.
func (c *Conn) Rules(f Family, table, chain string) (list []RuleInfo, err error) {
	err = c.eachRule(f, table, chain, func(r RuleInfo, _ attributes) { list = append(list, r) })
	return list, err
}

// Readings is Rules for all chains of a table, with what they do.
func (c *Conn) Readings(f Family, table string) (list []Reading, err error) {
	err = c.eachRule(f, table, "", func(r RuleInfo, a attributes) { list = append(list, reading(r, a.get(4))) })
	return list, err
}

func (c *Conn) eachRule(f Family, table, chain string, each func(RuleInfo, attributes)) error {
	name := str(1, table)
	if chain != "" {
		name = append(name, str(2, chain)...)
	}
	return c.dump("rules", getRule, f, name, func(f Family, a attributes) {
		// A kernel may list more than was asked for.
		if r := ruleInfo(f, a); r.Table == table && (chain == "" || r.Chain == chain) {
			each(r, a)
		}
	})
}

// Ruleset reads all of what there is.
func (c *Conn) Ruleset() (*Ruleset, error) {
	tables, err := c.Tables()
	if err != nil {
		return nil, err
	}
	r := &Ruleset{}
	if r.Chains, err = c.Chains(); err != nil {
		return nil, err
	}
	for _, t := range tables {
		rules, err := c.Rules(t.Family, t.Name, "")
		if err != nil {
			return nil, err
		}
		r.Rules = append(r.Rules, rules...)
		if err := c.sets(r, t); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// sets reads the sets of a table.
func (c *Conn) sets(r *Ruleset, t TableInfo) error {
	var names []string
	err := c.dump("sets", getSet, t.Family, str(1, t.Name), func(f Family, a attributes) {
		if a.text(1) == t.Name {
			r.addSet(f, a)
			names = append(names, a.text(2))
		}
	})
	for _, name := range names {
		err = errors.Join(err, c.dump("elements of a set", getSetElem, t.Family, append(str(1, t.Name), str(2, name)...), func(f Family, a attributes) {
			r.addElements(f, a)
		}))
	}
	return err
}

// Flowtables lists the tables by which open connections go past all chains, as
// "inet filter fast".
func (c *Conn) Flowtables() (list []string, err error) {
	err = c.dump("flowtables", getFlowtable, 0, nil, func(f Family, a attributes) {
		list = append(list, fmt.Sprintf("%s %s %s", f, a.text(1), a.text(2)))
	})
	return list, err
}

func tableInfo(f Family, a attributes, me uint32) TableInfo {
	t := TableInfo{Family: f, Name: a.text(1)}
	t.Owner, t.Owned = a.number(7)
	t.Mine = t.Owned && t.Owner == me
	return t
}

func chainInfo(f Family, a attributes) ChainInfo {
	c := ChainInfo{Family: f, Table: a.text(1), Name: a.text(3), Type: a.text(7)}
	hook := a.get(4)
	c.Device = hook.text(3)
	number, _ := hook.number(1)
	priority, _ := hook.number(2)
	c.Hook, c.Priority = Hook(number), int(int32(priority))
	policy, ok := a.number(5)
	c.Drop = ok && policy == verdictDrop
	return c
}

func ruleInfo(f Family, a attributes) RuleInfo {
	r := RuleInfo{Family: f, Table: a.text(1), Chain: a.text(2), Comment: comment(a.get(7)), Packets: counted(a.get(4)), exprs: string(a.get(4))}
	if h := a.get(3); len(h) == 8 {
		r.Handle = binary.BigEndian.Uint64(h)
	}
	return r
}

// dump calls each for everything of a kind. A list that changed while it was
// read is read again, a few times.
func (c *Conn) dump(what string, typ uint16, f Family, filter []byte, each func(Family, attributes)) error {
	const tries = 10
	for range tries {
		parts, whole, err := c.read(typ, f, filter)
		if err != nil {
			return fmt.Errorf("nft: list %s: %w", what, err)
		}
		if !whole {
			continue
		}
		for _, p := range parts {
			each(p.family, p.attrs)
		}
		return nil
	}
	return fmt.Errorf("nft: list %s: they change faster than they can be read: %w", what, unix.EINTR)
}

// read reads one dump; whole is false if something changed meanwhile.
func (c *Conn) read(typ uint16, f Family, filter []byte) (parts []part, whole bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, false, net.ErrClosed
	}
	c.seq++
	if err := c.send(appendMessage(nil, subsysTables<<8|typ, flagRequest|flagDump, c.seq, f, 0, filter)); err != nil {
		return nil, false, err
	}
	d := dump{seq: c.seq, typ: subsysTables<<8 | (typ - 1)} // NEW is before GET
	buf := make([]byte, 64<<10)
	for !d.done {
		// A dump goes on as it is read: the next part is there when one is taken.
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if err := d.add(buf[:n]); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, false, err
		}
	}
	return d.parts, !d.torn, nil
}

// A part is one thing of a dump: what follows its nfgenmsg.
type part struct {
	family Family
	attrs  attributes
}

// A dump is the answer to a request for a list.
type dump struct {
	seq   uint32
	typ   uint16
	parts []part
	torn  bool // the list changed while it was read
	done  bool
}

// add reads one datagram. Messages of other requests are skipped.
func (d *dump) add(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errors.New("the kernel's answer is malformed")
		}
		msg := b[:size]
		b = b[min((size+3)&^3, len(b)):]
		if binary.NativeEndian.Uint32(msg[8:]) != d.seq {
			continue
		}
		if binary.NativeEndian.Uint16(msg[6:])&unix.NLM_F_DUMP_INTR != 0 {
			d.torn = true
		}
		switch typ := binary.NativeEndian.Uint16(msg[4:]); {
		case typ == unix.NLMSG_DONE:
			d.done = true
			return nil
		case typ == unix.NLMSG_ERROR && size >= unix.SizeofNlMsghdr+4:
			d.done = true
			errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(msg[unix.SizeofNlMsghdr:])))
			if errno == unix.ENOENT { // a list of what is in something that is not there
				return nil
			}
			d.torn = errno == unix.EINTR
			return errno
		case typ == d.typ && size > unix.SizeofNlMsghdr+4:
			d.parts = append(d.parts, part{Family(msg[unix.SizeofNlMsghdr]), append(attributes(nil), msg[unix.SizeofNlMsghdr+4:]...)})
		}
	}
	return nil
}
