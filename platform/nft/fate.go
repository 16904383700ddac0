package nft

import "slices"

// A Deed is what rules may do with a packet that somebody waits for.
type Deed uint8

// Deeds.
const (
	Dropped    Deed = iota + 1 // or refused
	Redirected                 // to another address, this host's for one
	Diverted                   // to a socket of this host, by tproxy
	Untracked                  // connection tracking does not see it
)

// A Fate is what would happen to a packet in a chain.
type Fate struct {
	Deed
	Chain   ChainInfo
	Rule    RuleInfo // by which; zero is the chain's policy
	Port    uint16   // where it is brought to, if that is known
	Certain bool     // it was not left open by a match that can't be judged here
}

// Fates returns what a chain at a hook would do with a packet, in order: what comes
// after a certain end does not happen. What a match asks that is not known of the
// packet may be so or not.
func (r *Ruleset) Fates(c ChainInfo, p Packet) []Fate {
	w := &walk{Ruleset: r, chain: c, state: newState(p)}
	if end, maybe := w.through(c.Name, 0, false); end == goesOn && c.Drop {
		w.fates = append(w.fates, Fate{Deed: Dropped, Chain: c, Certain: !maybe && !w.open})
	}
	return w.fates
}

// A walk is a packet's way through a chain and those that it jumps to.
type walk struct {
	*Ruleset
	chain ChainInfo
	state *state
	fates []Fate
	open  bool // it may have been accepted already
}

// How a chain leaves a packet.
type ending uint8

const (
	goesOn ending = iota // or returns
	ends
)

// maxJumps is the kernel's bound.
const maxJumps = 16

// through walks the rules of a chain; maybe says that whether it came here is not
// certain.
func (w *walk) through(name string, depth int, maybe bool) (end ending, open bool) {
	if depth > maxJumps {
		return goesOn, true
	}
	for _, rule := range w.Rules {
		if rule.Family != w.chain.Family || rule.Table != w.chain.Table || rule.Chain != name {
			continue
		}
		does := w.judge(rule)
		if does.match == no {
			continue
		}
		perhaps := maybe || does.match == unclear
		for _, d := range does.deeds {
			w.add(d.deed, rule, d.port, !perhaps)
		}
		switch does.verdict {
		case verdictDrop:
			w.add(Dropped, rule, 0, !perhaps)
			if !perhaps {
				return ends, false
			}
		case verdictAccept:
			if !perhaps {
				return ends, false
			}
			w.open = true
		case verdictReturn:
			if does.match == yes {
				return goesOn, maybe
			}
			open = true
		case verdictJump, verdictGoto:
			end, o := w.through(does.chain, depth+1, perhaps)
			open = open || o
			if end == ends && !perhaps {
				return ends, false
			}
			if does.verdict == verdictGoto && !perhaps {
				return goesOn, open
			}
		}
	}
	return goesOn, open
}

// add notes a fate, once for each rule.
func (w *walk) add(d Deed, rule RuleInfo, port uint16, certain bool) {
	f := Fate{Deed: d, Chain: w.chain, Rule: rule, Port: port, Certain: certain && !w.open}
	if !slices.Contains(w.fates, f) {
		w.fates = append(w.fates, f)
	}
}
