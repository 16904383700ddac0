package doctor

import (
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Clients are what a transom that runs has recorded of its clients and the authority.
type Clients struct {
	Refusals []Refusal // one a client, who refused last first
	More     bool      // there are more than were looked at
	Err      error     // why it could not be asked
}

// A Refusal is a client that has refused certificates of the authority's.
type Refusal struct {
	Client netip.Addr
	Name   string // of the device or the program; "" if it is not known
	Local  bool   // a program of this host's
	Count  int
	Last   time.Time
	Host   string // that the last one was for
	Trusts bool   // something else of this client's was decrypted
}

// who names the client.
func (r *Refusal) who() string {
	if r.Name == "" {
		return r.Client.String()
	}
	return fmt.Sprintf("%s (%s)", r.Name, r.Client)
}

// clients says which clients don't trust the authority, as those that a transom that runs
// has seen refuse it.
func clients(m *Machine) (found []Finding) {
	c := m.Clients
	switch {
	case c == nil:
		return nil
	case c.Err != nil:
		return []Finding{{ID: "clients", Level: Note, What: "whether clients have refused the certificate could not be asked: " + c.Err.Error()}}
	case len(c.Refusals) == 0:
		return ok("clients", "no client has refused the certificate, of those that are recorded")
	}
	for i := range c.Refusals {
		found = append(found, m.refusal(&c.Refusals[i]))
	}
	if c.More {
		found = append(found, Finding{ID: "clients", Level: Note, What: "more clients have refused the certificate", Mend: "transom flows list --filter '~reason certificate'"})
	}
	return found
}

func (m *Machine) refusal(r *Refusal) Finding {
	times := "once"
	if r.Count > 1 {
		times = fmt.Sprintf("%d times, the last one", r.Count)
	}
	said := fmt.Sprintf("has refused the certificate %s for %s at %s", times, r.Host, r.Last.Format("15:04:05"))
	switch {
	case r.Trusts:
		return Finding{
			ID: "clients", Level: Note, What: "a program of " + r.who() + " " + said,
			Why:  "others there trust it: this one has an authority of its own (pinning), and works if it is left alone",
			Mend: m.gateway("--ignore-hosts " + ShellWord("^"+regexp.QuoteMeta(r.Host)+":")),
		}
	case r.Local:
		return Finding{
			ID: "clients", Level: Warning, What: r.who() + " " + said,
			Why: "a program of this machine, which has its own list of authorities or was started before it was added to", Mend: "sudo transom ca trust" + m.caDir(),
		}
	}
	why := "it does not trust the authority, or trusts an earlier one: install the certificate on it"
	if a := m.address(); a.IsValid() {
		why += ", from http://" + netip.AddrPortFrom(a, m.Steering.Port).String() + "/"
	}
	return Finding{ID: "clients", Level: Warning, What: r.who() + " " + said, Why: why}
}
