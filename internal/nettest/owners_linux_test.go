package nettest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"transom/internal/testnet"
	"transom/platform/lab"
)

// askers are programs that ask URL for pages, over one connection and for half a
// second, and print their pid first, by what processes are called.
var askers = map[string][]string{
	"curl": {"sh", "-c", "echo $$; exec curl -gsS --max-time 120 --rate 4/s -o /dev/null -o /dev/null -o /dev/null 'URL' 'URL' 'URL'"},
	"python3": {"python3", "-c", `
import http.client, os, time, urllib.parse
print(os.getpid())
to = urllib.parse.urlsplit('URL')
c = {'http': http.client.HTTPConnection, 'https': http.client.HTTPSConnection}[to.scheme](to.netloc)
for i in range(3):
    time.sleep(.25 * (i > 0))
    c.request('GET', to.path)
    c.getresponse().read()`},
}

// once is a program that is gone as soon as it has its page.
var once = []string{"sh", "-c", "echo $$; exec curl -gsS --max-time 120 -o /dev/null 'URL'"}

// pidIn is the first line of what an asker prints.
func pidIn(t *testing.T, out string) int {
	t.Helper()
	line, _, _ := strings.Cut(out, "\n")
	return atoi(t, line)
}

func with(args []string, url string) (out []string) {
	for _, a := range args {
		out = append(out, strings.ReplaceAll(a, "URL", url))
	}
	return out
}

// is checks the ends of flows with a server's address: at last they are of a process,
// and none is of another. Programs that are gone within a millisecond may not be found.
func (p *process) is(t *testing.T, rs []record, host string, found bool) {
	t.Helper()
	var last *process
	for _, r := range rs {
		if r.Event != "end" || !strings.HasPrefix(r.Server.Dst, host+":") {
			continue
		}
		last = r.Client.Process
		if last == nil || last.UID == p.UID && (last.PID == 0 || last.PID == p.PID && last.Path == "") {
			continue
		}
		if last.PID != p.PID || last.UID != p.UID || last.Name != p.Name && last.Name != "sh" ||
			p.User != "" && last.User != p.User || last.Path == "" {
			t.Errorf("%s: %+v, want %+v", r.Type, last, p)
		}
	}
	if found && (last == nil || last.PID == 0 || last.Name != p.Name) {
		t.Errorf("%s: %+v in the end, want %+v", host, last, p)
	}
}

// TestGatewayLocalOwners has programs of two users of the gateway ask, by each family.
func TestGatewayLocalOwners(t *testing.T) {
	need(t, "setpriv", "curl", "python3")
	for _, backend := range []string{"nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			w := newGatewayWorld(t)
			testnet.Need(t, w.users(), "users besides root")
			w.site()
			g := w.startGateway(w.command(w.Gateway, "transom", "gateway", "--interface", "none", "--local", "--backend", backend,
				"--upstream-ca", w.authority.file, "--ca-dir", w.path("ca"), "--json"))
			ask := func(asker []string, name string, uid, flows int) {
				t.Helper()
				for _, f := range families {
					seen := len(g.records())
					as := []string{"--reuid=" + strconv.Itoa(uid), "--regid=" + strconv.Itoa(uid), "--clear-groups"}
					pid := pidIn(t, w.must(w.Gateway, "setpriv", append(as, with(asker, "http://"+f.host+"/")...)...))
					eventually(t, "the ends of the flows", func() bool { return len(g.records()) == seen+flows })
					want := &process{PID: pid, UID: uid, Name: name, User: map[int]string{0: "root", 65534: "nobody"}[uid]}
					want.is(t, g.records()[seen:], f.host, flows > 1)
				}
			}
			for _, uid := range []int{0, 65534} {
				for name, asker := range askers {
					ask(asker, name, uid, 3)
				}
				ask(once, "curl", uid, 1)
			}
			finder := w.process(finder)
			for _, th := range threads(t, finder) {
				const dacReadSearch, sysPtrace = 2, 19
				caps, err := strconv.ParseUint(th["CapPrm"], 16, 64)
				if err != nil || caps&^(1<<dacReadSearch|1<<sysPtrace) != 0 || th["NoNewPrivs"] != "1" || th["Seccomp"] != "2" || strings.HasPrefix(th["Uid"], "0\t") {
					t.Errorf("who looks has %v", th)
				}
			}
			kill(t, finder) // it goes on without
			w.must(w.Gateway, "curl", "-sS", "--max-time", "120", "-o", "/dev/null", "http://"+lab.ServerAddr4+"/")
			g.stop()
			if errs := g.log.String(); strings.Count(errs, "who looks") != 1 {
				t.Errorf("it has said:\n%s", errs)
			}
			w.alone()
		})
	}
}

// finder is who looks for programs, by what follows "transom helper".
const finder = "find"

// TestGatewayLocalOwnersOdd has a program in a cgroup that looks like a container's,
// with a name that would steer a terminal.
func TestGatewayLocalOwnersOdd(t *testing.T) {
	need(t, "python3")
	testnet.Need(t, os.Getuid() == 0 && ownsUsers(t), "root, and users besides")
	dir, err := cgroups()
	testnet.Need(t, err == nil, fmt.Sprint("cgroups of version 2: ", err))
	id := strings.Repeat("0123456789abcdef", 4)
	unit := "docker-" + id + ".scope"
	cgroup := filepath.Join(dir, fmt.Sprintf("transom-odd\x1b-%d", os.Getpid()), unit)
	if err := os.MkdirAll(cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // which lets go of a process a moment after that has ended
		eventually(t, "the cgroup to go", func() bool { return !errors.Is(os.Remove(cgroup), syscall.EBUSY) })
		os.Remove(filepath.Dir(cgroup))
	})
	w := newGatewayWorld(t)
	w.site()
	g := w.startGateway(w.command(w.Gateway, "transom", "gateway", "--interface", "none", "--local", "--upstream-ca", w.authority.file,
		"--ca-dir", w.path("ca"), "--flow-detail", "2"))
	const odd = `
import http.client, os, sys, time
open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))
open('/proc/self/comm', 'w').write('a\n\x1b[2Jb')
c = http.client.HTTPConnection(sys.argv[2])
for i in range(2):
    time.sleep(.5 * i)
    c.request('GET', '/')
    c.getresponse().read()
print(os.getpid())`
	pid := pidIn(t, w.must(w.Gateway, "python3", "-c", odd, cgroup, lab.ServerAddr4))
	g.stop()
	out := g.out.String()
	if !strings.Contains(out, `    client: a\n\x1b[2Jb (/`) || !strings.Contains(out, fmt.Sprintf(", pid %d) of root, in container docker %s\n", pid, id[:12])) || strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

// TestRunOwners has transom run tell which programs within ask: by HTTP, by HTTPS and
// for a name.
func TestRunOwners(t *testing.T) { runOwners(t, newRunner) }

// TestRunByRootOwners does so by the way of root.
func TestRunByRootOwners(t *testing.T) { runOwners(t, newRootRunner) }

func runOwners(t *testing.T, newRunner func(*testing.T) *runner) {
	need(t, "curl", "python3")
	for name, asker := range askers {
		for _, f := range families {
			t.Run(name+"-"+f.name, func(t *testing.T) {
				r := newRunner(t)
				for _, scheme := range []string{"http", "https"} {
					flows := filepath.Join(r.home, scheme)
					stdout, stderr, code := r.run(append([]string{"-o", flows, "--json", "--"}, with(asker, scheme+"://"+f.host+"/it")...)...)
					if code != 0 {
						t.Fatalf("exit code %d: %s", code, stderr)
					}
					want := &process{PID: pidIn(t, stdout), UID: atoi(t, r.uid), Name: name}
					want.is(t, parse(t, r.read(flows)), f.host, true)
				}
			})
		}
	}
	t.Run("datagrams", func(t *testing.T) {
		r := newRunner(t)
		r.resolver()
		const ask = `
import os, socket, sys, time
print(os.getpid())
for host in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.sendto(b'\0\1\1\0\0\1\0\0\0\0\0\0\4shop\0\0\1\0\1', (host, 53))
    s.recvfrom(500)
    time.sleep(.5)`
		flows := filepath.Join(r.home, "flows")
		stdout, stderr, code := r.run("-o", flows, "--json", "--", "python3", "-c", ask, lab.ServerAddr4, lab.ServerAddr6)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		for _, f := range families {
			want := &process{PID: pidIn(t, stdout), UID: atoi(t, r.uid), Name: "python3"}
			want.is(t, parse(t, r.read(flows)), f.host, true)
		}
	})
}
