package steer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"transom/platform/nft"
)

// A part is a chain of our tables, or one of its rules, which have numbers.
type part struct {
	table, chain string
	rule         uint64
}

// partsLocked lists what there is of our tables, but for a test's, which goes when
// that is over.
func (k *Kernel) partsLocked() ([]part, error) {
	chains, err := k.rules.Chains()
	if err != nil {
		return nil, err
	}
	tables := []string{tableName, divertName, closedName}
	var list []part
	for _, c := range chains {
		if c.Family == nft.Inet && slices.Contains(tables, c.Table) {
			list = append(list, part{c.Table, c.Name, 0})
		}
	}
	for _, table := range tables {
		rules, err := k.rules.Rules(nft.Inet, table, "")
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			list = append(list, part{r.Table, r.Chain, r.Handle})
		}
	}
	return list, nil
}

// tend puts back what others have taken away of what is in force, and returns how
// long not to look again.
func (k *Kernel) tend() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || !k.staysLocked() {
		return 0
	}
	began := time.Now()
	m := k.mendLocked()
	now := time.Now()
	return k.restLocked(k.afterLocked(k, k.log, m, now), m, now.Sub(began))
}

// bringAgainLocked begins or stops to bring connections, and touches nothing else that
// is there.
func (k *Kernel) bringAgainLocked() error {
	if err := k.bringLocked(Tables(k.inForceLocked())[1:]); err != nil {
		return err
	}
	var err error
	k.laid, err = k.partsLocked()
	return err
}

// mendLocked puts back what is not there any more. A failure of one thing keeps
// nothing else from being put back.
func (k *Kernel) mendLocked() (m mended) {
	lost, err1 := k.relayLocked()
	let, err2 := k.letIn(steeringOf(k.now), false)
	routing, err3 := k.reenterLocked()
	return mended{slices.Concat(lost, routing), let, errors.Join(err1, err2, err3)}
}

// relayLocked lays our tables anew, all at once and with the notes of what settings
// were, if there is something missing in one of them, or if br_netfilter has come
// meanwhile: its chain stands before ours then, and ours is to stand before it
// (see steering.bridged).
func (k *Kernel) relayLocked() (lost []string, err error) {
	there, err := k.partsLocked()
	if err != nil {
		return nil, err
	}
	tables := Tables(k.inForceLocked())
	tables[0] = withNotes(tables[0], k.was)
	for _, t := range tables {
		if !k.wholeLocked(t, there) {
			lost = append(lost, fmt.Sprintf("nft table %s %s", t.Family, t.Name))
		}
	}
	switch overtaken := k.overtakenLocked(); {
	case overtaken:
		k.log.Info("br_netfilter has been loaded, which holds up what comes by a bridge: the rules that bring it are put before that")
	case len(lost) == 0:
		return nil, nil
	}
	var b nft.Batch
	b.Replace(tables[0])
	if err := k.commitLocked(&b, tables[1:]); err != nil {
		return lost, err
	}
	k.laid, err = k.partsLocked()
	return lost, err
}

// wholeLocked reports whether all of a table is there, and still what we have put
// there: as many parts as it has, for some may have gone before they were listed,
// and each that was.
func (k *Kernel) wholeLocked(t *nft.Table, there []part) bool {
	want, has := 0, 0
	for _, c := range t.Chains {
		want += 1 + len(c.Rules)
	}
	for _, p := range there {
		if p.table == t.Name {
			has++
		}
	}
	return has >= want && !slices.ContainsFunc(k.laid, func(p part) bool { return p.table == t.Name && !slices.Contains(there, p) })
}

// overtakenLocked reports whether br_netfilter has come after our tables.
func (k *Kernel) overtakenLocked() bool {
	before := k.filtered
	k.filtered = before && bridgesFilter() || k.routes.bridgesFilterHere()
	return k.filtered && !before
}

// bridgesFilter reports whether the kernel can have bridges show what they carry
// to the chains of IP: br_netfilter is loaded.
func bridgesFilter() bool {
	_, err := os.Stat("/proc/sys/net/bridge")
	return err == nil
}

// bridgesFilterHere reports whether br_netfilter has put its own chain among those
// of this network namespace, which it does when there is the first bridge.
func (r *routes) bridgesFilterHere() bool {
	if !bridgesFilter() {
		return false
	}
	links, err := again(r.netlink.LinkList)
	return err == nil && slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Type() == "bridge" })
}
