package doctor

import (
	"context"
	"errors"
	"os"

	"github.com/vishvananda/netlink"

	"transom/platform"
	"transom/platform/steer"
)

// tryKernel asks the kernel about the methods, in an attempt that it takes back by
// itself, and what an earlier run has left.
func (m *Machine) tryKernel(ctx context.Context) {
	if !m.Admin || m.Running != nil || m.NoClients != nil {
		return
	}
	k, err := steer.Open(nil)
	if err != nil {
		m.Ways = []Way{{Method: m.Steering.Method, Err: err}}
		return
	}
	defer func() { _ = k.Abandon() }() // it has changed nothing
	m.Left, _ = k.Leftovers(ctx)       // Check says what keeps it from being listed
	methods := m.Methods
	if len(methods) == 0 {
		methods = []platform.Method{platform.TPROXY, platform.Redirect}
	}
	for i, method := range methods {
		s := m.Steering
		s.Method = method
		s.Spoof = s.Spoof && len(s.Interfaces) > 0 && method == platform.TPROXY
		err := k.Check(ctx, s)
		m.Ways = append(m.Ways, Way{Method: method, Err: err})
		if err == nil {
			m.Steering.Method = method
			return
		}
		if i == 0 && !unsupported(err) {
			return
		}
	}
	if x, err := steer.OpenBackend("iptables", nil); err == nil {
		m.IPTables = true
		_ = x.Abandon() // it has changed nothing
	}
}

// findOffloads finds what takes packets before rules do, and bridges that show what
// they carry.
func (m *Machine) findOffloads() {
	for _, name := range m.Steering.Interfaces {
		l, err := netlink.LinkByName(name)
		if err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached {
			m.XDP = append(m.XDP, name)
		}
	}
	m.Bridges, m.BridgeMends, _ = steer.Showing(m.Steering.Interfaces) // if it can't be told there is nothing to say
}

// findNamespaces finds out what forbids namespaces without root.
func (m *Machine) findNamespaces() {
	if name, want, forbidden := platform.NamespacesForbidden(); forbidden {
		m.Namespaces = errors.New("the setting " + name + " forbids user namespaces")
		m.NamespacesMend = "sysctl -w " + name + "=" + want
	}
	for _, file := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(file); err == nil {
			m.Container = true
		}
	}
}
