//go:build darwin || freebsd || openbsd

package steer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// openHere takes back what dead processes have left in pf.
func openHere(log *slog.Logger) (kernel, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := newPFAnchor(runtime.GOOS, log, thisBSD{})
	return p, p.reap(context.Background())
}

// openPF opens the backend of that name.
func openPF(log *slog.Logger) (Steerer, error) { return newPFAnchor(runtime.GOOS, log, thisBSD{}), nil }

// openIPFW opens the backend of that name.
func openIPFW(log *slog.Logger) (Steerer, error) { return newIPFWSets(log, thisBSD{}), nil }

// thisBSD is the system that this process is on.
type thisBSD struct{}

// run finds pfctl and sysctl where these systems have them: there is no PATH that may
// lead elsewhere.
func (thisBSD) run(ctx context.Context, stdin string, argv ...string) (string, error) {
	path := "/sbin/" + argv[0]
	if _, err := os.Stat(path); err != nil {
		path = "/usr/sbin/" + argv[0]
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (thisBSD) linkLocal(name string) (netip.Addr, bool) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, false
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

func (thisBSD) has(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func (thisBSD) alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

func (thisBSD) pid() int { return os.Getpid() }

// OthersInPF returns rules of pf's main ruleset that bring connections elsewhere, and
// those that drop for good what comes by before ours are come to, as pfctl lists them.
func OthersInPF(ctx context.Context) (bring, block []string, err error) {
	return newPFAnchor(runtime.GOOS, slog.New(slog.DiscardHandler), thisBSD{}).others(ctx)
}
