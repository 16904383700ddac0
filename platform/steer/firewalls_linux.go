package steer

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// Another firewall's chain drops what ours has accepted: each chain at a hook
// has its say. So that one which lets in only what it knows does not keep from
// us what we bring, all that is brought carries our mark, and a rule for it is
// put at the head of each such chain. iptables lists that rule as
// "-m mark --mark 0x10/0x70 -m comment --comment transom -j ACCEPT".

// foreign returns the chains of others that may keep packets from us.
func (k *Kernel) foreign() ([]nft.ChainInfo, error) {
	list, err := k.rules.Chains()
	return slices.DeleteFunc(list, func(c nft.ChainInfo) bool {
		ip := c.Family == nft.Inet || c.Family == nft.IPv4 || c.Family == nft.IPv6
		return !ip || c.Type != "filter" || c.Hook != nft.Input || isOurs(c.Family, c.Table)
	}), err
}

func isOurs(f nft.Family, table string) bool {
	return f == nft.Inet && (table == tableName || table == divertName || table == closedName || table == testName)
}

// letIn puts the rule where it is not. A chain that its owner lets nobody change
// is told of: that is the operator's to mend.
func (k *Kernel) letIn(m platform.Marks) error {
	chains, err := k.foreign()
	if err != nil {
		return err
	}
	for _, c := range chains {
		rules, err := k.rules.Rules(c.Family, c.Table, c.Name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(rules, isMine) {
			continue
		}
		rule := nft.Rule{nft.Mark(m.In, m.Mask), nft.Accept(), nft.Comment(mine)}
		var b nft.Batch
		b.Insert(c.Family, c.Table, c.Name, rule)
		switch err := k.rules.Commit(&b); {
		case err == nil:
			k.log.Debug("let captured packets into another's firewall", "table", c.Table, "chain", c.Name)
		case errors.Is(err, unix.ENOENT): // it has just gone
		case errors.Is(err, unix.EPERM):
			k.log.Warn("another program lets nobody change its firewall; if captured connections time out, have it accept our mark",
				"table", fmt.Sprintf("%s %s", c.Family, c.Table), "chain", c.Name, "rule", rule[:2].String())
		default:
			return fmt.Errorf("let captured packets into chain %s of table %s %s: %w", c.Name, c.Family, c.Table, err)
		}
	}
	return nil
}

func isMine(r nft.RuleInfo) bool { return r.Comment == mine }

// ownRules returns our rules in the chains of others.
func (k *Kernel) ownRules() (list []nft.RuleInfo, err error) {
	chains, err := k.foreign()
	if err != nil {
		return nil, err
	}
	for _, c := range chains {
		rules, err := k.rules.Rules(c.Family, c.Table, c.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, slices.DeleteFunc(rules, func(r nft.RuleInfo) bool { return !isMine(r) })...)
	}
	return list, nil
}

// letOut takes our rules out of the chains of others.
func (k *Kernel) letOut() error {
	list, err := k.ownRules()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range list {
		var b nft.Batch
		b.Delete(r)
		if err := k.rules.Commit(&b); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// follow lets packets into firewalls that come, or are loaded anew, while we
// steer. It ends with the watch.
func (k *Kernel) follow() {
	for k.news.Next() == nil {
		if err := k.again(); err != nil {
			k.log.Warn("a firewall has changed, and captured packets may not pass it", "err", err)
		}
	}
}

func (k *Kernel) again() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.IsZero() {
		return nil
	}
	return k.letIn(k.now.Marks.OrDefault())
}
