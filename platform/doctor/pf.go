package doctor

import (
	"fmt"
	"strings"
)

// A PF is what is known of pf on macOS, FreeBSD or OpenBSD.
type PF struct {
	System string // as runtime.GOOS has it
	Seen   bool   // somebody could look
	By     string // the backend that captures, or would
	Err    error  // why capturing by it would fail
	// Bring are rules of others, of the main ruleset, that bring connections
	// elsewhere, and Block those that drop for good what comes by before ours are
	// come to. Each is as pfctl lists it.
	Bring, Block []string
}

// pfRights is about root, which there is nothing less than.
func pfRights(m *Machine) []Finding {
	if m.Root {
		return ok("capabilities", "there is root, which steering takes")
	}
	return []Finding{{ID: "capabilities", Level: Note, What: "transom gateway takes root", Mend: "sudo " + m.gateway()}}
}

// pfReady is about whether pf is on, and looks into our anchor.
func pfReady(m *Machine) []Finding {
	switch {
	case !m.PF.Seen:
		return m.unseen("pf", "pf, its rules, and what an earlier run may have left")
	case m.PF.Err == nil:
		return ok("pf", m.PF.By+" has all that capturing takes")
	}
	f := Finding{ID: "pf", Level: Fault, What: "capturing fails: " + strings.ReplaceAll(m.PF.Err.Error(), "\n", "; and ")}
	for _, command := range []string{"kldload pf", "pfctl -e"} {
		if strings.Contains(f.What, command) {
			f.Mend = command
			break
		}
	}
	return []Finding{f}
}

// pfRedirects is about a host that tells devices of shorter ways.
func pfRedirects(m *Machine) (found []Finding) {
	if len(m.Steering.Interfaces) == 0 {
		return nil
	}
	for _, name := range []string{"net.inet.ip.redirect", "net.inet6.ip6.redirect"} {
		if m.Settings[name] != "1" {
			continue
		}
		f := Finding{
			ID: "redirects", Level: Note, What: "this host tells devices of shorter ways (" + name + " is 1)",
			Why: "until transom gateway runs, which turns it off, those that hear of one go past this host", Mend: m.sysctl(name + "=0"),
		}
		if m.Running != nil {
			f.Level, f.Why = Warning, "somebody has turned it on: devices go past this host if another router is on their network"
		}
		found = append(found, f)
	}
	if found == nil {
		return ok("redirects", "devices are told of no shorter ways")
	}
	return found
}

// pfRules is about rules of others. What pfctl lists is read as far as an interface
// and a protocol, so nothing is certain.
func pfRules(m *Machine) (found []Finding) {
	if !m.PF.Seen || m.PF.By == "ipfw" {
		return nil // pfReady says so; rules of ipfw are not looked at
	}
	for _, rule := range m.PF.Block {
		if m.concerns(rule) {
			found = append(found, Finding{
				ID: "rules", Level: Warning, What: "a rule of pf that comes before transom's anchor may drop what is captured: " + rule,
				Why: `put anchor "transom" before it in /etc/pf.conf`,
			})
		}
	}
	for _, rule := range m.PF.Bring {
		if !m.concerns(rule) {
			continue
		}
		f := Finding{
			ID: "other-proxy", Level: Warning, What: "a rule of pf may bring elsewhere what is to be captured: " + rule,
			Why: "the first rule that fits has a connection; what it takes, transom does not see",
		}
		if strings.HasSuffix(rule, fmt.Sprintf(" port %d", m.Steering.Port)) {
			f.Level, f.What = Note, "a rule by hand brings connections to transom's port: "+rule
		}
		found = append(found, f)
	}
	if found == nil {
		return ok("rules", "no rule of the main ruleset of pf is seen to be in the way")
	}
	return found
}

// concerns reports whether a rule may be about TCP that comes in by one of our
// interfaces.
func (m *Machine) concerns(rule string) bool {
	words := strings.Fields(rule)
	ours := true
	for i, w := range words {
		switch {
		case i == 0:
		case words[i-1] == "on" && w != "!":
			ours = false
			for _, name := range m.Steering.Interfaces {
				ours = ours || w == name || strings.TrimRight(name, "0123456789") == w // a group, as its driver's
			}
			if !ours {
				return false
			}
		case words[i-1] == "proto" && w != "tcp":
			return false
		case w == "out" && i < 3:
			return false
		}
	}
	return ours
}
