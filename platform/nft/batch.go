package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A Batch is changes that come into force together, or not at all. The zero
// Batch is empty.
type Batch struct {
	msgs []message
	sets uint32
	errs []error
}

// Add creates a table. If there is one of that name, Commit fails with EEXIST.
func (b *Batch) Add(t *Table) {
	e := &encoder{table: t, sets: &b.sets}
	e.encode()
	b.msgs = append(b.msgs, e.msgs...)
	b.errs = append(b.errs, e.errs...)
}

// Remove deletes a table if it exists.
func (b *Batch) Remove(f Family, name string) {
	what := fmt.Sprintf("table %s %s", f, name)
	b.msgs = append(
		b.msgs,
		message{newTable, flagCreate, f, str(1, name), what}, // so that there is one to delete
		message{delTable, 0, f, str(1, name), what},
	)
}

// Replace puts t in the place of the table of its name, if there is one.
// Connections see either the old rules or the new.
func (b *Batch) Replace(t *Table) {
	b.Remove(t.Family, t.Name)
	b.Add(t)
}

// Insert puts a rule at the head of a chain, which may be somebody else's.
func (b *Batch) Insert(f Family, table, chain string, r Rule) {
	e := &encoder{table: &Table{Family: f, Name: table}, sets: &b.sets}
	e.what = fmt.Sprintf("rule (%s) at the head of chain %s of table %s %s", r, chain, f, table)
	e.rule(str(1, table), chain, 0, r)
	b.msgs = append(b.msgs, e.msgs...)
	b.errs = append(b.errs, e.errs...)
}

// Delete removes a rule that Rules has listed. If it is gone, Commit fails with
// ENOENT.
func (b *Batch) Delete(r RuleInfo) {
	what := fmt.Sprintf("rule %d of chain %s of table %s %s", r.Handle, r.Chain, r.Family, r.Table)
	b.msgs = append(b.msgs, message{delRule, 0, r.Family, slices.Concat(
		str(1, r.Table), str(2, r.Chain), attr(3, binary.BigEndian.AppendUint64(nil, r.Handle))), what})
}

// Empty reports whether there is nothing in the batch.
func (b *Batch) Empty() bool { return len(b.msgs) == 0 && len(b.errs) == 0 }

const (
	subsysTables = 10 // NFNL_SUBSYS_NFTABLES
	batchBegin   = 0x10
	batchEnd     = 0x11
)

// marshal writes the batch as netlink messages. The message at index i has the
// sequence number first+1+i; the last one asks for an acknowledgement, as the
// sign that the kernel has seen all of it.
func (b *Batch) marshal(first uint32) ([]byte, error) {
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	out := appendMessage(nil, batchBegin, flagRequest, first, 0, subsysTables, nil)
	for i, m := range b.msgs {
		flags := m.flags | flagRequest
		if i == len(b.msgs)-1 {
			flags |= flagAck
		}
		out = appendMessage(out, subsysTables<<8|m.typ, flags, first+1+uint32(i), m.fam, 0, m.attrs)
	}
	return appendMessage(out, batchEnd, flagRequest, first+1+uint32(len(b.msgs)), 0, subsysTables, nil), nil
}

// appendMessage appends a nlmsghdr, a nfgenmsg and attributes.
func appendMessage(b []byte, typ, flags uint16, seq uint32, f Family, resource uint16, attrs []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(20+len(attrs)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // port id: the kernel fills it in
	b = append(b, byte(f), 0)
	b = binary.BigEndian.AppendUint16(b, resource)
	return append(b, attrs...)
}
