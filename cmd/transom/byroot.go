package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"transom"
	"transom/capture"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/rootless"
	"transom/platform/sandbox"
	"transom/platform/steer"
)

// openByRoot has the program in a cgroup of its own, in this host's network, and
// captures what that cgroup sends. The program is the caller's, and so is transom
// from then on; a helper has the rights that this takes.
func (f *runFlags) openByRoot(ctx context.Context, p *transom.Proxy, r *rights) (_ platform.Host, err error) {
	if err := r.need("capture one program by its cgroup", slices.Concat(steeringCaps, spoofing)...); err != nil {
		return nil, err
	}
	cgroup, err := rootless.NewCgroup()
	if err != nil {
		return nil, err
	}
	host, err := f.captureCgroup(ctx, p, r, cgroup.Path)
	if err != nil {
		return nil, errors.Join(err, cgroup.Remove())
	}
	f.space, err = rootless.New(ctx, rootless.Options{ByRoot: &rootless.ByRoot{As: r.person(), Cgroup: cgroup}, Log: p.Log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a mount namespace for the program: %w", err), host.Close(), cgroup.Remove())
	}
	return &helpedHost{host, f.space}, nil
}

// A helpedHost is a helper's, that ends a program with it.
type helpedHost struct {
	*helper.Client
	space *rootless.Namespace
}

// Close implements platform.Host.
func (h *helpedHost) Close() error { return errors.Join(h.space.Close(), h.Client.Close()) }

// captureCgroup starts the helper that brings what a cgroup sends.
func (f *runFlags) captureCgroup(ctx context.Context, p *transom.Proxy, r *rights, path string) (*helper.Client, error) {
	alone, err := helper.Lock(ctx, helper.LockWithin, p.Log)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	at, err := loopbackAddrs()
	if err != nil {
		return nil, err
	}
	p.Steering = platform.Steering{
		Method: platform.TPROXY, Port: at[0].Port(), Local: true, Program: path,
		UDPPorts: []platform.PortRange{{First: 1, Last: 65535}}, RejectQUIC: f.quic == "reject",
		Marks: platform.DefaultMarks(),
	}
	if err := canCapture(ctx, p); err != nil {
		return nil, err
	}
	for _, a := range at {
		p.Captures = append(p.Captures,
			capture.Redirect{Listen: a, RequireTransparent: true, Mark: p.Steering.Marks.Client},
			capture.Datagrams{Listen: a, Mark: p.Steering.Marks.Client})
	}
	p.Mark = p.Steering.Marks.Upstream
	r.findOwners(p)
	c := charterOf(p, everywhere())
	c.Backend = "nft"
	return r.helper(ctx, p, c, alone)
}

// canCapture makes sure that the kernel can, before anything is changed, and removes
// what an earlier transom has left.
func canCapture(ctx context.Context, p *transom.Proxy) error {
	k, err := steer.OpenBackend("nft", p.Log)
	if err != nil {
		return err
	}
	if err := errors.Join(k.Check(ctx, p.Steering), k.Abandon()); err != nil {
		return fmt.Errorf("capture one program by its cgroup: %w", err)
	}
	return steer.Mend(ctx, "nft", p.Log)
}

// loopbackAddrs are addresses on loopback with a port that nobody listens on: what
// is redirected where it is sent goes to these, and nobody else can come there from
// elsewhere.
func loopbackAddrs() ([]netip.AddrPort, error) {
	var errs []error
	for range 16 {
		at, err := loopbackPort()
		if err == nil {
			return at, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("find a port to listen on: %w", errors.Join(errs...))
}

func loopbackPort() (at []netip.AddrPort, err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	at = append(at, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(own, func(a net.Addr) bool { return strings.HasPrefix(a.String(), "::1/") }) {
		at = append(at, netip.AddrPortFrom(netip.IPv6Loopback(), port))
	}
	for i, a := range at {
		if i > 0 {
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
			if err != nil {
				return nil, err
			}
			defer l.Close()
		}
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			return nil, err
		}
		defer u.Close()
	}
	return at, nil
}

// person is who called.
func (r *rights) person() rootless.Person {
	u := sandbox.Self()
	if r.caller {
		u = *r.user
	}
	return rootless.Person{UID: u.UID, GID: u.GID, Groups: u.Groups}
}

// environAs is an environment of root's as that of whom root has acted for: sudo
// says in it whose the home is, and that root was asked for.
func environAs(env []string, u *sandbox.User) []string {
	set := []string{"HOME=" + u.Home, "USER=" + u.Name, "LOGNAME=" + u.Name}
	if u.Home == "" {
		set[0] = "HOME=/"
	}
	if u.Name == "" {
		set = set[:1]
	}
	kept := slices.DeleteFunc(withEnv(env, set), func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		switch name {
		case "SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_COMMAND", "DOAS_USER", "PKEXEC_UID":
			return true
		case "MAIL":
			return strings.HasSuffix(value, "/root")
		}
		return false
	})
	return kept
}

// forbidden reports whether err says that there may be no namespaces without root.
func forbidden(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL)
}
