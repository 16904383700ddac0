package nettest_test

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"transom/platform/lab"
)

// askDatagrams asks each host for a name and for an echo, by sockets that are not
// connected, so that the sender is seen, and by QUIC's port.
const askDatagrams = `
import socket, sys
for host in sys.argv[1:]:
    for port in (53, 5353):
        s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(60)
        for i in range(2): # not connected, so that the sender is seen
            s.sendto(b'who', (host, port))
            data, sender = s.recvfrom(100)
            print(port, sender[0] == host, sender[1] == port)
    s = socket.socket(s.family, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.connect((host, 443))
    s.send(b'quic')
    try: print('answered', len(s.recv(100)) > 0)
    except ConnectionRefusedError: print('refused')
`

// TestRunDatagrams sends to any port, in both ways: what comes back does so from whom
// it was sent to, and all of it is recorded. QUIC is refused at once, or passed.
func TestRunDatagrams(t *testing.T) {
	need(t, "python3")
	for by, runner := range bothWays() {
		for quic, said := range map[string]string{"reject": "refused", "pass": "answered True"} {
			t.Run(quic+by, func(t *testing.T) {
				r := runner(t)
				for _, port := range []uint16{53, 443, 5353} {
					r.datagrams(port)
				}
				stdout, stderr, code := r.run("-o", filepath.Join(r.home, "flows"), "--json", "--quic", quic, "--", "python3", "-c", askDatagrams, lab.ServerAddr4, lab.ServerAddr6)
				want := strings.Repeat(strings.Repeat("53 True True\n", 2)+strings.Repeat("5353 True True\n", 2)+said+"\n", 2)
				if code != 0 || stdout != want {
					t.Errorf("exit code %d: %q, want %q\n%s", code, stdout, want, stderr)
				}
				seen := r.ports("53", "5353", "443")
				if seen["53"] < 2 || seen["5353"] < 2 || (seen["443"] >= 2) != (quic == "pass") || quic == "reject" && seen["443"] != 0 {
					t.Errorf("recorded: %v", seen)
				}
			})
		}
	}
}

// ports counts the flows to ports of the server's.
func (r *runner) ports(ports ...string) map[string]int {
	r.t.Helper()
	seen := map[string]int{}
	for _, f := range r.flows() {
		b, err := json.Marshal(f)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, port := range ports {
			if strings.Contains(string(b), lab.ServerAddr4+":"+port+`"`) || strings.Contains(string(b), lab.ServerAddr6+"]:"+port+`"`) {
				seen[port]++
			}
		}
	}
	return seen
}

// bothWays are that of namespaces and that of root.
func bothWays() map[string]func(*testing.T) *runner {
	return map[string]func(*testing.T) *runner{"": newRunner, "-by-root": newRootRunner}
}

// TestRunDNS has programs ask a name server that is elsewhere, and one on loopback as
// systemd-resolved is, which is the machine's and not the program's.
func TestRunDNS(t *testing.T) {
	programs := map[string][]string{
		"dig":     {"dig", "+short", "+tries=1", "+time=60", "shop.example"},
		"dig-tcp": {"dig", "+short", "+tcp", "shop.example"},
		"getent":  {"sh", "-c", "getent ahostsv4 shop.example | awk '/STREAM/ {print $1}'"},
		"python3": {"python3", "-c", "import socket; print(socket.gethostbyname('shop.example'))"},
	}
	for where, at := range map[string]string{"elsewhere": lab.ServerAddr4, "loopback": "127.0.0.53"} {
		for name, args := range programs {
			if name == "dig-tcp" && where == "loopback" {
				continue // nobody listens there
			}
			t.Run(name+"-"+where, func(t *testing.T) {
				need(t, "unshare", "mount", strings.TrimSuffix(name, "-tcp"))
				r := newRunner(t)
				r.resolver()
				if where == "loopback" {
					r.answersOn(r.Client, netip.AddrPortFrom(netip.MustParseAddr(at), 53), func(q []byte) []byte { return resolved(q, 0) })
				}
				conf := r.write("resolv.conf", "nameserver "+at+"\n")
				r.as = append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, conf}, r.as...)
				stdout, stderr, code := r.run(append([]string{"-o", filepath.Join(r.home, "flows"), "--json", "--flow-detail", "2", "--"}, args...)...)
				if code != 0 || !strings.HasPrefix(stdout, "10.9.0.2\n") {
					t.Errorf("exit code %d: %q\n%s", code, stdout, stderr)
				}
				flows := r.read(filepath.Join(r.home, "flows"))
				for _, want := range []string{`"type":"dns"`, "shop.example", "10.9.0.2", at + ":53"} {
					if !strings.Contains(flows, want) {
						t.Errorf("no %s is recorded:\n%s", want, flows)
					}
				}
			})
		}
	}
}

// TestRunDatagramsRefused has nobody at a server's port, which the program is told as
// it is without transom.
func TestRunDatagramsRefused(t *testing.T) {
	need(t, "python3")
	const ask = `
import socket, sys
for host in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.connect((host, 7777))
    for i in range(2):
        s.send(b'anybody?')
        try: s.recv(100)
        except ConnectionRefusedError: print('refused')
`
	r := newRunner(t)
	stdout, stderr, code := r.run("-o", filepath.Join(r.home, "flows"), "--json", "--", "python3", "-c", ask, lab.ServerAddr4, lab.ServerAddr6)
	if code != 0 || stdout != strings.Repeat("refused\n", 4) {
		t.Errorf("exit code %d: %q\n%s", code, stdout, stderr)
	}
	if flows := r.read(filepath.Join(r.home, "flows")); strings.Count(flows, "nobody is at that port") < 4 {
		t.Errorf("recorded: %s", flows)
	}
}
