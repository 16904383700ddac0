package steer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// Another firewall's chain drops what ours has accepted: each chain at a hook
// has its say. So that one which lets in only what it knows does not keep from
// us what we bring, all that is brought carries our mark, and a rule for it is
// put at the head of each such chain. iptables lists that rule as
// "-m mark --mark 0x10/0x70 -m comment --comment transom -j ACCEPT".
//
// What we answer to clients that TPROXY brought, conntrack does not know, and what
// we send to servers the firewall may have let pass from the clients but not from
// us: both go out by rules of the same kind, for the marks of their sockets.

// foreign returns the chains of others that may keep packets from us.
func (k *Kernel) foreign() ([]nft.ChainInfo, error) { return foreign(k.rules) }

func foreign(c *nft.Conn) ([]nft.ChainInfo, error) {
	list, err := c.Chains()
	return slices.DeleteFunc(list, func(c nft.ChainInfo) bool {
		ip := c.Family == nft.Inet || c.Family == nft.IPv4 || c.Family == nft.IPv6
		return !ip || c.Type != "filter" || c.Hook != nft.Input && c.Hook != nft.Output || isOurs(c.Family, c.Table)
	}), err
}

// IsOurs reports whether a table is one of transom's.
func IsOurs(f nft.Family, table string) bool { return isOurs(f, table) }

func isOurs(f nft.Family, table string) bool {
	return f == nft.Inet && (table == tableName || table == divertName || table == closedName || table == testName)
}

// passing are the marks of what a hook of others is to let pass.
func (t *steering) passing(h nft.Hook) []uint32 {
	if h == nft.Output {
		return t.sent()
	}
	return []uint32{t.marks.In}
}

// passes are the rules for a chain of others.
func (t *steering) passes(h nft.Hook) (rules []nft.Rule) {
	for _, m := range t.passing(h) {
		rules = append(rules, nft.Rule{t.marked(m), nft.Accept(), nft.Comment(mine)})
	}
	return rules
}

// letIn puts the rules where they are not; anew says that those which are there
// may be of other marks. It reports whether it changed anything. A chain that
// fails keeps no other from being changed.
func (k *Kernel) letIn(t *steering, anew bool) (changed bool, err error) {
	chains, err := k.foreign()
	if err != nil {
		return false, err
	}
	var errs []error
	for _, c := range chains {
		done, err := k.letInto(c, t.passes(c.Hook), anew)
		changed = changed || done
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// letInto is letIn for one chain.
func (k *Kernel) letInto(c nft.ChainInfo, want []nft.Rule, anew bool) (changed bool, err error) {
	rules, err := k.rules.Rules(c.Family, c.Table, c.Name)
	if err != nil {
		return false, err
	}
	old := slices.DeleteFunc(rules, func(r nft.RuleInfo) bool { return !isMine(r) })
	if !anew && len(old) == len(want) {
		return false, nil
	}
	var b nft.Batch
	for _, r := range old {
		b.Delete(r)
	}
	for _, r := range slices.Backward(want) {
		b.Insert(c.Family, c.Table, c.Name, r)
	}
	err = k.rules.Commit(&b)
	return err == nil, k.judge(c, want, err)
}

// judge says what it means that a chain could not be changed. One that its owner
// lets nobody change is told of: that is the operator's to mend.
func (k *Kernel) judge(c nft.ChainInfo, want []nft.Rule, err error) error {
	table := fmt.Sprintf("%s %s", c.Family, c.Table)
	where := table + " " + c.Name
	switch {
	case err == nil:
		k.log.Debug("let captured packets through another's firewall", "table", table, "chain", c.Name)
	case errors.Is(err, unix.ENOENT): // it has just gone, or been loaded anew, which we hear of
	case errors.Is(err, unix.EPERM) && slices.Contains(k.locked, where):
	case errors.Is(err, unix.EPERM):
		k.locked = append(k.locked, where)
		k.log.Warn("another program lets nobody change its firewall; if captured connections time out, have it accept our marks",
			"table", table, "chain", c.Name, "hook", c.Hook, "rules", ruleTexts(want))
	default:
		return fmt.Errorf("let captured packets through chain %s of table %s: %w", c.Name, table, err)
	}
	return nil
}

// ownersAllow fails if TPROXY would bring packets to firewalls that only their
// owners may change. They can hardly know of our mark; that a connection was
// redirected they can see, and firewalld, for one, lets such in.
func ownersAllow(conn *nft.Conn, t *steering) error {
	if !t.tproxy() {
		return nil
	}
	tables, err := conn.Tables()
	if err != nil {
		return err
	}
	chains, err := foreign(conn)
	if err != nil {
		return err
	}
	for _, c := range chains {
		if c.Hook != nft.Input || !slices.ContainsFunc(tables, func(i nft.TableInfo) bool {
			return i.Family == c.Family && i.Name == c.Table && i.Owned
		}) {
			continue
		}
		rules, err := conn.Rules(c.Family, c.Table, c.Name)
		if err != nil {
			return err
		}
		if c.Drop || len(rules) > 0 {
			return fmt.Errorf("tproxy is %w: chain %s of table %s %s may drop what it brings, and nobody but the program that owns it can add %q (firewalld: NftablesTableOwner=no); use --method redirect",
				platform.ErrUnsupported, c.Name, c.Family, c.Table, ruleTexts(t.passes(c.Hook)))
		}
	}
	return nil
}

// ruleTexts writes rules without their comments.
func ruleTexts(rules []nft.Rule) string {
	words := make([]string, len(rules))
	for i, r := range rules {
		words[i] = r[:len(r)-1].String()
	}
	return strings.Join(words, "; ")
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
