package doctor

import (
	"errors"
	"slices"
	"strings"

	"transom/platform/steer"
)

// link is an interface by its name.
func (m *Machine) link(name string) steer.Link {
	i := slices.IndexFunc(m.Links, func(l steer.Link) bool { return l.Name == name })
	if i < 0 {
		return steer.Link{}
	}
	return m.Links[i]
}

// findLinks finds the interfaces, and those to capture at if none was named.
func (m *Machine) findLinks() (err error) {
	if m.Links, err = steer.Links(); err != nil {
		return err
	}
	if m.NoInterface {
		return nil
	}
	m.named = len(m.Steering.Interfaces) > 0
	chosen, _, err := steer.Choose(m.Links, m.Steering.Interfaces)
	switch {
	case m.Steering.Local && errors.Is(err, steer.ErrNoClients):
		return nil
	case err != nil:
		m.NoClients = err
		return nil
	}
	m.Steering.Interfaces = slices.Clone(chosen)
	return nil
}

// interfaces is about where clients are.
func interfaces(m *Machine) []Finding {
	s := &m.Steering
	switch {
	case m.NoClients != nil:
		f := Finding{ID: "interfaces", Level: Fault, What: m.NoClients.Error(), Why: "nothing can be captured of devices that are not behind an interface that is up and has an address"}
		for _, l := range m.Links {
			if !l.Up && !l.Loopback && l.Master == "" && (l.Kind == "" || l.Kind == "bridge" || l.Kind == "veth" && hardwareless(m.Links)) {
				f.Mend = m.up(l.Name)
				break
			}
		}
		return []Finding{f}
	case len(s.Interfaces) == 0:
		return nil
	}
	for _, name := range s.Interfaces {
		if l := m.link(name); l.Name != "" && !l.Up {
			return []Finding{{ID: "interfaces", Level: Fault, What: name + " is down", Mend: m.up(name)}}
		}
	}
	return ok("interfaces", "devices are looked for behind "+strings.Join(s.Interfaces, ", "))
}

// hardwareless reports whether a host has no network card: it is a container.
func hardwareless(links []steer.Link) bool {
	return !slices.ContainsFunc(links, func(l steer.Link) bool { return l.Kind == "" && !l.Loopback })
}

// up is the command that turns an interface on.
func (m *Machine) up(name string) string {
	if m.PF != nil {
		return "ifconfig " + name + " up"
	}
	return "ip link set " + name + " up"
}
