package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"transom/platform/lab"
)

// A peer is one of those that are measured side by side.
type peer struct {
	name    string
	program string // "" if there is no process
	version []string

	// command returns the arguments to start it with on the gateway, and which
	// of its ports gets the connections to which of the server's. If the
	// measure says so it must pass bytes through as they are.
	command func(w *world, m measure) (args []string, ports map[uint16]uint16, err error)
	lacks   func(m measure) bool // whether it can't be measured so; may be nil
}

// Names of peers.
const (
	direct  = "direct"
	transom = "transom"
	haproxy = "haproxy"
	nethttp = "net/http"

	unrecorded = "store-none" // transom that keeps nothing
)

func peerNames() []string { return []string{direct, transom, unrecorded, haproxy, nethttp} }

// without reports whether there is no process for a measure.
func (p peer) without(m measure) bool {
	return p.command == nil || p.lacks != nil && p.lacks(m)
}

// find returns the peers of these names. What is not installed is left out, and
// said.
func find(names []string, program string, stderr io.Writer) ([]peer, error) {
	var peers []peer
	for _, name := range names {
		switch name {
		case direct:
			peers = append(peers, peer{name: direct})
		case transom, unrecorded:
			path, err := filepath.Abs(program)
			if err != nil {
				return nil, err
			}
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("transom itself: %w; run make first", err)
			}
			p := peer{name: name, program: path, version: []string{"version"}, command: transomCommand}
			if name == unrecorded {
				p.command, p.lacks, p.version = unrecordedCommand, func(m measure) bool { return !m.store }, nil
			}
			peers = append(peers, p)
		case haproxy:
			path, err := exec.LookPath(haproxy)
			if errors.Is(err, exec.ErrNotFound) {
				path, err = exec.LookPath("/usr/sbin/haproxy") // not in everybody's path
			}
			if err != nil {
				fmt.Fprintln(stderr, "bench: HAProxy is not installed, and so is not compared with")
				continue
			}
			lacks := func(m measure) bool { return m.method != nil || m.inside }
			peers = append(peers, peer{name: haproxy, program: path, version: []string{"-v"}, command: haproxyCommand, lacks: lacks})
		case nethttp:
			path, err := os.Executable()
			if err != nil {
				return nil, err
			}
			lacks := func(m measure) bool { return m.pass || m.method != nil || m.inside }
			peers = append(peers, peer{name: nethttp, program: path, command: reverseCommand, lacks: lacks})
		}
	}
	return peers, nil
}

// unrecordedCommand is transomCommand that records nothing, on a port of its own.
func unrecordedCommand(w *world, m measure) ([]string, map[uint16]uint16, error) {
	m.store = false
	args, _, err := transomCommand(w, m)
	args[slices.Index(args, "transparent@8080")] = "transparent@8081"
	return append(args, "--store", "none"), map[uint16]uint16{httpPort: 8081, httpsPort: 8081}, err
}

// transomCommand records flows, and prints them to nobody.
func transomCommand(w *world, m measure) ([]string, map[uint16]uint16, error) {
	if m.method != nil {
		return gatewayCommand(w, m), nil, nil
	}
	args := []string{"listen", "--mode", "transparent@8080", "--ca-dir", w.path("ca"), "--upstream-ca", w.path(rootFile)}
	if m.pass {
		args = append(args, "--ignore-hosts", ".")
	}
	if m.store {
		if err := os.Chmod(w.dir, 0o755); err != nil { // whom it becomes has to come through
			return nil, nil, err
		}
		args = append(args, "--store", w.path("flows"), "--store-max", "1g")
	}
	return args, map[uint16]uint16{httpPort: 8080, httpsPort: 8080}, nil
}

// haproxyConfig is for HTTP: TLS is ended, and begun anew, with one certificate
// for all names. Each connection of a client has one to the server, as an
// interceptor's must, and the parts of the handshakes are those of the origin
// server and its clients. With HTTP/2 it would have a connection for each
// request, and is let share them, which is less to do than an interceptor has.
const haproxyConfig = `global
	maxconn 4000
	ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
	ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
defaults
	mode http
	timeout connect 10s
	timeout client 600s
	timeout server 600s
	http-reuse REUSE
listen plain
	bind :7080
	server origin ORIGIN:80
listen secure
	bind :7443 ssl crt CERTIFICATE alpn ALPN curves X25519
	server origin ORIGIN:443 ssl verify required ca-file ROOT sni ssl_fc_sni alpn ALPN no-ssl-reuse
`

// haproxyPassConfig is for bytes.
const haproxyPassConfig = `global
	maxconn 4000
defaults
	mode tcp
	option splice-auto
	timeout connect 10s
	timeout client 600s
	timeout server 600s
listen plain
	bind :7080
	server origin ORIGIN:80
listen secure
	bind :7443
	server origin ORIGIN:443
`

func haproxyCommand(w *world, m measure) ([]string, map[uint16]uint16, error) {
	config := haproxyConfig
	if m.pass {
		config = haproxyPassConfig
	}
	alpn, reuse := "http/1.1", "never"
	if m.job.Proto == h2 {
		alpn, reuse = h2, "always"
	}
	config = strings.NewReplacer(
		"ALPN", alpn, "REUSE", reuse,
		"ORIGIN", lab.ServerAddr4, "CERTIFICATE", w.path(fixedFile), "ROOT", w.path(rootFile),
	).Replace(config)
	file := w.path("haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	return []string{"-db", "-q", "-f", file}, map[uint16]uint16{httpPort: 7080, httpsPort: 7443}, nil
}

// A proxy is a peer that runs.
type proxy struct {
	peer
	cmd   *lab.Cmd // nil if there is no process
	by    []string // what starts the client in place of that
	ports map[uint16]uint16
	said  bytes.Buffer // valid when it has ended
}

// startWithin bounds the time until a proxy accepts connections.
const startWithin = 20 * time.Second

// start starts a peer on the gateway and waits until it accepts connections.
func (w *world) start(ctx context.Context, p peer, m measure) (*proxy, error) {
	x := &proxy{peer: p}
	if p.without(m) {
		return x, nil
	}
	if m.inside {
		x.by = runCommand(w, m, p.program)
		return x, nil
	}
	args, ports, err := p.command(w, m)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	x.ports = ports
	x.cmd = w.Gateway.Command(ctx, p.program, args...)
	x.cmd.Stderr = &x.said
	if err := x.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for _, port := range slices.Sorted(maps.Values(ports)) {
		if err := w.await(ctx, port); err != nil {
			return nil, fmt.Errorf("start %s: %w", p.name, errors.Join(err, x.stop()))
		}
	}
	if m.method != nil {
		if err := w.steered(ctx); err != nil {
			return nil, fmt.Errorf("start %s: %w", p.name, errors.Join(err, x.stop()))
		}
	}
	return x, nil
}

// await tries to connect to a port of the gateway until it can.
func (w *world) await(ctx context.Context, port uint16) error {
	try := time.NewTicker(20 * time.Millisecond)
	defer try.Stop()
	for {
		c, err := w.Gateway.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr(lab.WANAddr4), port))
		if err == nil {
			return c.Close()
		}
		select {
		case <-try.C:
		case <-ctx.Done():
			return fmt.Errorf("it does not accept connections on port %d: %w", port, context.Cause(ctx))
		}
	}
}

// stop ends the process. The error has what it said, if it did not end well.
func (x *proxy) stop() error {
	if x.cmd == nil {
		return nil
	}
	_ = x.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(startWithin, func() { _ = x.cmd.Process.Kill() })
	defer kill.Stop()
	if err := x.cmd.Wait(); err != nil && !x.signalled() {
		return fmt.Errorf("%s: %w\n%s", x.name, err, x.said.Bytes())
	}
	return nil
}

// signalled reports whether the process ended by the signal of stop, or with the
// exit code that stands for it, as HAProxy does.
func (x *proxy) signalled() bool {
	state := x.cmd.ProcessState
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal() == syscall.SIGTERM
	}
	return state.ExitCode() == 128+int(syscall.SIGTERM)
}
