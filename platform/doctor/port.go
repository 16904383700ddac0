package doctor

import (
	"fmt"
	"strconv"
)

// port is about whether somebody else listens where transom would.
func port(m *Machine) (found []Finding) {
	p := int(m.Steering.Port)
	if p == 0 {
		return nil
	}
	seen := map[int]bool{}
	for _, l := range m.Ports {
		if l.Ours || l.PID == 0 && m.Running != nil && !m.Root { // whose it is only root sees
			return ok("port", fmt.Sprintf("the transom that runs listens on port %d", p))
		}
		if seen[l.PID] {
			continue
		}
		seen[l.PID] = true
		f := Finding{ID: "port", Level: Fault, What: fmt.Sprintf("port %d is taken, by a socket on %s", p, l.Addr)}
		f.Why = fmt.Sprintf("end what has it, or choose another port: --listen-port %d", free(p))
		switch {
		case l.PID == 0:
			f.Mend = m.whoListens(p)
		case l.Name == transom:
			found = append(found, Finding{
				ID: "port", Level: Note, What: fmt.Sprintf("a transom listen has port %d (process %d), for rules by hand", p, l.PID),
				Why: "transom gateway needs another: --listen-port " + strconv.Itoa(free(p)),
			})
			continue
		default:
			f.What = fmt.Sprintf("port %d is taken, by %s (process %d)", p, l.Name, l.PID)
			f.Mend = "kill " + strconv.Itoa(l.PID)
		}
		found = append(found, f)
	}
	switch {
	case found != nil:
		return found
	case m.Running != nil:
		return []Finding{{ID: "port", Level: Fault, What: fmt.Sprintf("a transom runs, and nothing listens on its port %d", p), Why: "it is about to end, or to begin; if it stays so, end it and start it anew"}}
	}
	return ok("port", fmt.Sprintf("port %d is free", p))
}

// transom is what processes of ours are called.
const transom = "transom"

// free is another port than p, as a suggestion.
func free(p int) int {
	if p == 8080 {
		return 8081
	}
	return 8080
}

// whoListens is the command that says who has a port.
func (m *Machine) whoListens(p int) string {
	switch {
	case m.PF == nil:
		return fmt.Sprintf("sudo ss -ltnp 'sport = :%d'", p)
	case m.PF.System == "darwin":
		return fmt.Sprintf("sudo lsof -nP -iTCP:%d -sTCP:LISTEN", p)
	case m.PF.System == "freebsd":
		return fmt.Sprintf("sockstat -46lp %d", p)
	}
	return fmt.Sprintf("fstat | grep ':%d$'", p)
}
