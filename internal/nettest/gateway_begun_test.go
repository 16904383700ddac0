package nettest_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestGatewayBegins reads what is said when it has begun: all of it true, and
// each line short enough to be read.
func TestGatewayBegins(t *testing.T) {
	need(t, "curl", "ip", "nft")
	const (
		found    = `capturing TCP ports 80, 443 of devices behind lan0 \(tproxy, nft\); QUIC is refused`
		wayOut   = `not captured: what comes in by wan0 \(the way out\); --interface says otherwise`
		spoofed  = `servers see the devices' addresses and ports, where answers to these come back through this host, and where not, its own`
		page     = `for the certificate open (http://192\.168\.1\.1:8080/) on a device`
		whose    = `traffic is read as \S+ \(uid \d+\), without rights; the helper that has them runs as \S+ \(uid \d+\)`
		stopping = `stop it with Ctrl-C: open connections may finish within 10s`
		signing  = `signing for servers with \S+, made just now: no device trusts it yet`
	)
	// What is done to the gateway before.
	setUp := map[string]string{
		"lan-down":   "ip link set lan0 down",
		"forwarding": "for s in ipv4.ip_forward ipv6.conf.all.forwarding; do sysctl -qw net.$s=0; done",
		"masquerade": "nft add table inet hide; nft 'add chain inet hide post { type nat hook postrouting priority 100; }'; nft add rule inet hide post oifname wan0 masquerade",
		"some-ports": "nft add table ip hide; nft 'add chain ip hide post { type nat hook postrouting priority 100; }'; nft add rule ip hide post tcp dport 443 masquerade",
	}
	for name, tc := range map[string]struct {
		args string
		want []string
		warn string
	}{
		"nothing-said": {"", []string{found, wayOut, spoofed, page, whose, stopping, signing}, ""},
		"masquerade": {"", []string{
			found, wayOut, spoofed, `but over IPv4 and IPv6 servers see another address: nft table inet hide translates it \(NAT\)`, page, whose, stopping, signing,
		}, ""},
		"some-ports": {"", []string{
			found, wayOut, spoofed, `but over IPv4 servers may see another address: nft table ip hide translates some \(NAT\)`, page, whose, stopping, signing,
		}, ""},
		"all-said": {
			"--interface lan0 --from 192.168.1.0/24 --exclude 10.9.0.3 --quic pass --on-dead closed --ports all --method redirect --grace 5",
			[]string{
				`capturing all TCP ports of devices behind lan0 \(redirect, nft\); QUIC passes unseen`,
				`captured are only devices in 192\.168\.1\.0/24`,
				`left alone is what comes from or goes to 10\.9\.0\.3`,
				`if transom is killed, such connections are refused until the next start or 'transom cleanup'`,
				`servers see this host's address: by redirect it is the devices' only with --spoof-source`,
				page, whose, `stop it with Ctrl-C: open connections may finish within 5s`, signing,
			},
			"",
		},
		"local-alone": {"--interface none --local", []string{
			`capturing TCP ports 80, 443 of this host's own programs \(redirect, nft\); QUIC is refused`,
			`servers see this host's address`, `for the certificate open http://localhost:8080/`, whose, stopping, signing,
		}, ""},
		"local-too": {"--local --spoof-source ip", []string{
			`capturing TCP ports 80, 443 of devices behind lan0 and of this host's own programs \(tproxy, nft\); QUIC is refused`,
			wayOut, `servers see the devices' addresses, where answers to these come back through this host, and where not, its own; of its own programs, this host's`, page, whose, stopping, signing,
		}, ""},
		"local-udp": {"--local --spoof-source ip --udp-ports 53", []string{
			`capturing TCP ports 80, 443 of devices behind lan0 and of this host's own programs, UDP ports 53 of devices alone \(tproxy, nft\); QUIC is refused`,
			wayOut, `servers see the devices' addresses, where answers to these come back through this host, and where not, its own; of its own programs, this host's`, page, whose, stopping, signing,
		}, ""},
		"lan-down": {"", []string{
			`capturing TCP ports 80, 443 of devices behind wan0 `,
			`wan0 is the way out, too: devices there are captured if they have this host as their gateway`,
			`not captured: what comes in by lan0 \(down\); --interface says otherwise`,
			spoofed, `for the certificate open http://10\.9\.0\.1:8080/ on a device`, whose, stopping, signing,
		}, ""},
		"forwarding": {"", []string{
			found, wayOut, `this host did not forward IPv4 and IPv6: it does now, and no longer when transom has ended`,
			spoofed, page, whose, stopping, signing,
		}, ""},
		"none": {"--interface lan0 --spoof-source none", []string{found, `servers see this host's address`, page, whose, stopping, signing}, ""},
		"fixed": {"--interface lan0 --spoof-source 192.168.1.77", []string{
			found, `servers see 192\.168\.1\.77, and over IPv6 this host's address`, page, whose, stopping, signing,
		}, ""},
		"fixed-elsewhere": {
			"--interface lan0 --spoof-source 192.0.2.77",
			[]string{found, `servers see 192\.0\.2\.77, and`, page, whose, stopping, signing},
			`--spoof-source 192\.0\.2\.77: answers come back only if routers send them here, and this host has no route`,
		},
		"from-elsewhere": {
			"--interface lan0 --from 172.16.0.0/12",
			[]string{found, `captured are only devices in 172\.16\.0\.0/12`, spoofed, page, whose, stopping, signing},
			`--from 172\.16\.0\.0/12: no such device is behind lan0, as far as routes tell: there is 192\.168\.1\.0/24`,
		},
		"the-way-out": {
			"--interface wan0", []string{
				`capturing TCP ports 80, 443 of devices behind wan0`, spoofed, `for the certificate open http://10\.9\.0\.1:8080/ on a device`, whose, stopping, signing,
			}, `wan0 is the way out; devices look to be behind lan0\n$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t)
			for _, f := range families {
				w.must(w.Gateway, "ip", "route", "add", "default", "via", f.addr)
			}
			if do := setUp[name]; do != "" {
				need(t, "sysctl")
				w.must(w.Gateway, "sh", "-euc", do)
			}
			before := w.state(w.Gateway)
			args := append([]string{"gateway", "--ca-dir", w.path("ca")}, strings.Fields(tc.args)...)
			g := w.startGateway(w.command(w.Gateway, "transom", args...))
			eventually(t, "the last line", func() bool { return strings.Contains(g.log.String(), "no device trusts it yet\n") })
			said, warned := "", ""
			for line := range strings.Lines(g.log.String()) {
				plain, ok := strings.CutPrefix(line, "transom: ")
				if warning, bad := strings.CutPrefix(plain, "warning: "); bad {
					warned += warning
				} else {
					said += plain
				}
				if !ok || len(line) > 180 {
					t.Errorf("a line of %d bytes: %s", len(line), line)
				}
			}
			want := regexp.MustCompile(`^` + strings.Join(tc.want, `[^\n]*\n`) + `[^\n]*\n$`)
			if !want.MatchString(said) {
				t.Errorf("it says\n%s\nand not\n%s", said, strings.Join(tc.want, "\n"))
			}
			if (warned != "") != (tc.warn != "") || !regexp.MustCompile(tc.warn).MatchString(warned) {
				t.Errorf("it warns\n%s\nwant %s", warned, tc.warn)
			}
			if url := regexp.MustCompile(page).FindStringSubmatch(said); url != nil {
				if got := w.must(w.Client, "curl", "-sS", "--max-time", "120", url[1]); !strings.Contains(got, "certificate") {
					t.Errorf("a device gets from %s\n%s", url[1], got)
				}
			}
			g.stop()
			w.restored(w.Gateway, before)
		})
	}
}

// TestGatewayTranslatedLater has somebody begin to masquerade, and stop, while it runs.
func TestGatewayTranslatedLater(t *testing.T) {
	need(t, "nft", "ip")
	w := newGatewayWorld(t)
	for _, f := range families {
		w.must(w.Gateway, "ip", "route", "add", "default", "via", f.addr)
	}
	g := w.startGateway(w.command(w.Gateway, "transom", "gateway", "--ca-dir", w.path("ca")))
	says := func(line string) {
		t.Helper()
		eventually(t, line, func() bool { return strings.Contains(g.log.String(), line) })
	}
	w.must(w.Gateway, "sh", "-euc", "nft add table inet hide; nft 'add chain inet hide post { type nat hook postrouting priority 100; }'; nft add rule inet hide post oifname wan0 masquerade")
	says("transom: warning: from now on over IPv4 and IPv6 servers see another address: nft table inet hide translates it (NAT)\n")
	w.must(w.Gateway, "nft", "delete", "table", "inet", "hide")
	says("transom: no longer so: over IPv4 and IPv6 servers see another address: nft table inet hide translates it (NAT)\n")
	g.stop()
}

// TestGatewayFindsNone has it started where no interface has clients behind it:
// it says of each why.
func TestGatewayFindsNone(t *testing.T) {
	need(t, "ip")
	w := newGatewayWorld(t)
	lonely, err := w.Host("lonely")
	if err != nil {
		t.Fatal(err)
	}
	w.must(lonely, "sh", "-euc", "ip link add docker0 type bridge; ip link set docker0 addrgenmode none; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up")
	w.refuses(t, lonely, "1", `^transom: gateway: no interface looks as if clients were behind it: lo \(loopback\), `+
		`docker0 \(a bridge for containers or virtual machines\); name one with --interface$`, []string{find("transom"), "gateway"})
	// What is sent there itself is captured all the same.
	p := w.start(w.command(lonely, "transom", "gateway", "--local", "--ca-dir", w.path("ca")))
	if said := p.log.String(); !strings.Contains(said, "of this host's own programs (redirect, nft)") || !strings.Contains(said, "not captured: what comes in by docker0 (") {
		t.Errorf("it says\n%s", said)
	}
	p.stop()
}
