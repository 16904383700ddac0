package doctor

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"transom/platform/sandbox"
)

// Look gathers what there is to know of the machine that this thread's network
// namespace belongs to. It changes nothing. It fails if nothing can be seen at all;
// what takes rights that are missing is left out.
func Look(ctx context.Context, q Question) (*Machine, error) {
	m := &Machine{Question: q, Root: os.Geteuid() == 0}
	held, err := sandbox.Held()
	if err != nil {
		return nil, err
	}
	m.Admin, m.Raw = held.Has(sandbox.NetAdmin), held.Has(sandbox.NetRaw)
	if err := m.findLinks(); err != nil {
		return nil, err
	}
	m.readSettings()
	m.findDetours()
	m.findListeners()
	m.findOffloads()
	m.findNamespaces()
	m.tryKernel(ctx)
	m.readRules()
	if err := m.watch(ctx); err != nil {
		return nil, err
	}
	return m, ctx.Err()
}

// readSettings reads what checks ask about.
func (m *Machine) readSettings() {
	m.Settings = Settings{}
	names := []string{
		"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.send_redirects", "net.ipv4.conf.all.rp_filter",
		"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_count",
	}
	for _, l := range m.Links {
		for _, one := range []string{"send_redirects", "rp_filter"} {
			names = append(names, "net.ipv4.conf."+slashed(l.Name)+"."+one)
		}
	}
	for _, name := range names {
		if b, err := os.ReadFile(settingPath(name)); err == nil {
			m.Settings[name] = strings.TrimSpace(string(b))
		}
	}
	err := unix.Access(settingPath("net.ipv4.ip_forward"), unix.W_OK)
	m.ReadOnly = errors.Is(err, unix.EROFS)
}

// settingPath is where a setting is: dots and slashes change places.
func settingPath(name string) string {
	return "/proc/sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
