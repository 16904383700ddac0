//go:build darwin || freebsd || openbsd

package doctor

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/steer"
)

// Look gathers what there is to know of this host. It changes nothing. What takes root
// is left out without. What passes is not listened to.
func Look(ctx context.Context, q Question) (*Machine, error) {
	m := &Machine{Question: q, Root: os.Geteuid() == 0, PF: &PF{System: runtime.GOOS}}
	m.Steering.Method = platform.Redirect
	if err := m.findLinks(); err != nil {
		return nil, err
	}
	m.readSettings()
	m.findListeners(ctx)
	if m.Root {
		if err := m.lookAtPF(ctx); err != nil {
			return nil, err
		}
	}
	return m, ctx.Err()
}

func (m *Machine) readSettings() {
	m.Settings = Settings{}
	for _, name := range []string{"net.inet.ip.forwarding", "net.inet6.ip6.forwarding", "net.inet.ip.redirect", "net.inet6.ip6.redirect"} {
		if n, err := unix.SysctlUint32(name); err == nil {
			m.Settings[name] = strconv.FormatUint(uint64(n), 10)
		}
	}
}

// findListeners finds out whether somebody listens on the port, by an attempt to:
// whose it is takes programs that differ.
func (m *Machine) findListeners(ctx context.Context) {
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), m.Steering.Port)
	if m.PF.System == "openbsd" {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), m.Steering.Port)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", at.String())
	switch {
	case err == nil:
		l.Close()
	case errors.Is(err, unix.EADDRINUSE):
		m.Ports = append(m.Ports, Listener{Addr: at, Ours: m.Running != nil})
	}
}

// lookAtPF tries what a gateway would, up to where something changes.
func (m *Machine) lookAtPF(ctx context.Context) (err error) {
	m.PF.Seen = true
	var failed []error
	for _, name := range steer.Backends() {
		k, err := steer.OpenBackend(name, nil)
		if err != nil {
			return err
		}
		if m.PF.By == "" && m.NoClients == nil && (m.Backend == "" || m.Backend == "auto" || m.Backend == name) {
			err := k.Check(ctx, m.Steering)
			if err == nil || errors.Is(err, steer.ErrLiving) {
				m.PF.By = name
			} else {
				failed = append(failed, err)
			}
		}
		if m.Running == nil {
			if left, err := k.Leftovers(ctx); err == nil {
				m.Left = append(m.Left, left...)
			}
		}
		if err := k.Abandon(); err != nil {
			return err
		}
	}
	if m.PF.By != "" {
		failed = nil
	}
	m.PF.Err = errors.Join(failed...)
	if m.PF.By != "ipfw" {
		m.PF.Bring, m.PF.Block, err = steer.OthersInPF(ctx)
		m.PF.Err = cmp.Or(m.PF.Err, err)
	}
	return nil
}
