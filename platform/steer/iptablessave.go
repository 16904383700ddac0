package steer

import (
	"slices"
	"strings"
)

// An xtThere is what iptables-save tells of ours in one table.
type xtThere struct {
	name   string
	chains []string
	jumps  []string // rules of others' chains that lead into ours, as they are listed
	notes  []string // the comments of wasChain
	rules  int      // how many there are in our chains
}

// has reports whether nothing of o is missing in t.
func (t xtThere) has(o xtThere) bool {
	all := func(there, wanted []string) bool {
		return !slices.ContainsFunc(wanted, func(s string) bool { return !slices.Contains(there, s) })
	}
	return all(t.chains, o.chains) && all(t.jumps, o.jumps) && all(t.notes, o.notes) && t.rules >= o.rules
}

// holds reports whether t has as much as w: some of it may have gone before it was
// listed for the first time.
func (t xtThere) holds(w xtTable) bool {
	jumps, rules := 0, 0
	for _, c := range w.chains {
		if !slices.Contains(t.chains, c.name) {
			return false
		}
		rules += len(c.rules)
		if c.hook != "" {
			jumps++
		}
	}
	return len(t.jumps) >= jumps && t.rules >= rules
}

// tableOf finds a table by its name. One that is not there has nothing.
func tableOf(list []xtThere, name string) xtThere {
	if i := slices.IndexFunc(list, func(t xtThere) bool { return t.name == name }); i >= 0 {
		return list[i]
	}
	return xtThere{name: name}
}

// parseSave finds what is ours in the output of iptables-save. What it does not
// understand is somebody else's.
func parseSave(text string) []xtThere {
	var out []xtThere
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "*"):
			out = append(out, xtThere{name: line[1:]})
		case len(out) == 0:
		case strings.HasPrefix(line, ":"+chainPrefix):
			name, _, _ := strings.Cut(line[1:], " ")
			out[len(out)-1].chains = append(out[len(out)-1].chains, name)
		case strings.HasPrefix(line, "-A "):
			out[len(out)-1].rule(line[len("-A "):])
		}
	}
	return slices.DeleteFunc(out, func(t xtThere) bool { return len(t.chains) == 0 && len(t.jumps) == 0 })
}

// rule takes in a rule of any chain.
func (t *xtThere) rule(rule string) {
	chain, rest, _ := strings.Cut(rule, " ")
	if strings.HasPrefix(chain, chainPrefix) {
		t.rules++
	}
	switch {
	case chain == wasChain:
		if _, quoted, ok := strings.Cut(rest, "--comment "); ok {
			t.notes = append(t.notes, unquote(quoted))
		}
	case strings.HasPrefix(chain, chainPrefix):
	case strings.HasPrefix(targetOf(rest), chainPrefix):
		t.jumps = append(t.jumps, rule)
	}
}

// targetOf returns where a rule leads.
func targetOf(rule string) string {
	words := strings.Fields(rule)
	for i, word := range words[:max(len(words)-1, 0)] {
		if word == "-j" || word == "-g" {
			return words[i+1]
		}
	}
	return ""
}

// without leaves out chains whose names begin so, and the jumps to them.
func (t xtThere) without(prefixes []string) xtThere {
	kept := func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	t.chains = slices.DeleteFunc(slices.Clone(t.chains), kept)
	t.jumps = slices.DeleteFunc(slices.Clone(t.jumps), func(rule string) bool { return kept(targetOf(rule)) })
	return t
}

// quote writes a word as iptables-restore takes it, unquote reads it back.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// unquote reads the word at the start of s, as iptables-save has written it.
func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		word, _, _ := strings.Cut(s, " ")
		return word
	}
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
