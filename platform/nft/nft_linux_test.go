package nft_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func ports(list string) []platform.PortRange {
	out, err := platform.ParsePorts(list)
	if err != nil {
		panic(err)
	}
	return out
}

// everything uses each statement once.
func everything() *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: "everything", Chains: []nft.Chain{
		{
			Name: "mangle", Type: "filter", Hook: nft.Prerouting, Priority: -150,
			Rules: []nft.Rule{
				{nft.SocketWildcard(), nft.Accept()},
				{nft.SocketTransparent(), nft.SocketMark(0x30, 0x70), nft.SetMark(0x10, 0x70), nft.Accept()},
				{nft.NotIIFName("lan0", "lan1"), nft.DAddrType(nft.AddrLocal, nft.AddrBroadcast, nft.AddrMulticast), nft.Accept(), nft.Comment("not ours")},
				{nft.NotIIFName("lan0"), nft.DAddrType(nft.AddrMulticast), nft.Accept()},
				{nft.DPortIn(nft.TCP, ports("80,443")...), nft.DPortIn(nft.TCP, ports("8000-8010")...), nft.Drop()},
				{nft.DPortIn(nft.UDP, ports("53,8000-8010,60000-65535")...), nft.CTStatusDNAT(), nft.Accept()},
				{nft.IIFName("lan0", "lan1"), nft.DPort(nft.TCP, 443, 80), nft.Local(), nft.Return()},
				{nft.IIFName("lan0"), nft.DPort(nft.TCP, 80, 443, 8000), nft.TProxy(netip.MustParseAddrPort("127.0.0.1:8080")), nft.SetMark(0x10, 0x70), nft.Notrack(), nft.Accept()},
				{nft.IIFName("lan0"), nft.DPort(nft.TCP, 80), nft.TProxy(netip.MustParseAddrPort("[::1]:8080")), nft.SetMark(1, ^uint32(0))},
				{nft.IIFName("lan0"), nft.L4Proto(nft.UDP), nft.TProxy(netip.MustParseAddrPort("[::]:8443")), nft.Jump("more")},
			},
		},
		{
			Name: "nat", Type: "nat", Hook: nft.Prerouting, Priority: -110,
			Rules: []nft.Rule{
				{nft.IIFName("lan0"), nft.DPort(nft.TCP, 80, 443), nft.NotLocal(), nft.Redirect(8080)},
				{nft.DAddr(prefixes("192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/25")...), nft.L4Proto(nft.TCP), nft.Redirect(1)},
				{nft.SAddr(prefixes("2001:db8::/32", "fd00::/8")...), nft.NotDAddr(prefixes("fe80::/10")...), nft.DPort(nft.UDP, 53), nft.Redirect(53)},
			},
		},
		{
			Name: "zones", Type: "filter", Hook: nft.Output, Priority: -300,
			Rules: []nft.Rule{
				{nft.Mark(0x30, 0x70), nft.OriginalZone(7)},
				{nft.Mark(5, ^uint32(0)), nft.SkUID(1000), nft.OIFName("wan0"), nft.Notrack()},
			},
		},
		{Name: "more", Rules: []nft.Rule{
			{nft.NFProto(nft.IPv4), nft.SPort(nft.TCP, 25), nft.RejectReset()},
			{nft.NFProto(nft.IPv6), nft.DPort(nft.UDP, 443), nft.Counter(), nft.RejectPort()},
			{nft.NotSAddr(prefixes("10.0.0.0/8")...), nft.Drop()},
		}},
		{Name: "hide", Type: "nat", Hook: nft.Postrouting, Priority: 100, Rules: []nft.Rule{{nft.OIFName("wan0"), nft.Masquerade()}}},
		{Name: "known", Rules: []nft.Rule{{nft.CTState(nft.Established | nft.Related), nft.Accept()}, {nft.CTState(nft.Invalid), nft.Drop()}}},
		{Name: "strict", Type: "filter", Hook: nft.Input, Priority: 0, Drop: true},
	}}
}

// inHost runs f with a Conn of a fresh namespace.
func inHost(t *testing.T, f func(h *lab.Host, c *nft.Conn)) {
	t.Helper()
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	f(h, dial(t, h))
}

func dial(t *testing.T, h *lab.Host) (c *nft.Conn) {
	t.Helper()
	if err := h.Do(func() (err error) {
		c, err = nft.Dial()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func commit(t *testing.T, c *nft.Conn, fill func(*nft.Batch)) {
	t.Helper()
	var b nft.Batch
	fill(&b)
	if err := c.Commit(&b); err != nil {
		t.Fatal(err)
	}
}

func TestKernelListsWhatWasMeant(t *testing.T) {
	path, err := exec.LookPath("nft")
	testnet.Need(t, err == nil, "the nft program")
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		commit(t, c, func(b *nft.Batch) { b.Add(everything()) })
		ours, err := h.Command(t.Context(), path, "-y", "list", "ruleset").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, ours)
		}
		t.Logf("%s", ours)

		// What nft makes of our text is what we had made of it ourselves.
		commit(t, c, func(b *nft.Batch) { b.Remove(nft.Inet, "everything") })
		file := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(file, []byte(everything().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := h.Command(t.Context(), path, "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("nft does not read our text: %v: %s\n%s", err, out, everything())
		}
		theirs, err := h.Command(t.Context(), path, "-y", "list", "ruleset").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, theirs)
		}
		if d := cmp.Diff(lines(theirs), lines(ours)); d != "" {
			t.Errorf("nft loads the text (-), we load the table (+):\n%s", d)
		}
	})
}

// lines splits a listing, and puts sets of ports and interfaces into order,
// which the kernel does not keep.
func lines(b []byte) []string {
	set := regexp.MustCompile(`\{ ([^{}]*) \}`)
	text := set.ReplaceAllStringFunc(string(b), func(s string) string {
		e := strings.Split(strings.Trim(s, "{} "), ", ")
		slices.Sort(e)
		return "{ " + strings.Join(e, ", ") + " }"
	})
	return strings.Split(text, "\n")
}

// names lists the tables by name.
func names(t *testing.T, c *nft.Conn) (out []string) {
	t.Helper()
	list, err := c.Tables()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		out = append(out, i.Name)
	}
	slices.Sort(out)
	return out
}

func TestCommit(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		tables := func() []string {
			t.Helper()
			return names(t, c)
		}
		simple := func(name string) *nft.Table { return &nft.Table{Family: nft.Inet, Name: name} }

		commit(t, c, func(b *nft.Batch) { b.Add(simple("a")) })

		var twice nft.Batch
		twice.Add(simple("b"))
		twice.Add(simple("a"))
		twice.Add(&nft.Table{Family: nft.Inet, Name: "c", Chains: []nft.Chain{{Name: "x", Rules: []nft.Rule{{nft.Jump("nowhere")}}}}})
		err := c.Commit(&twice)
		if !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "table inet a") {
			t.Errorf("a table that exists: %v; want EEXIST and its name", err)
		}
		if err == nil || !strings.Contains(err.Error(), "rule 1 (jump nowhere) of chain x of table inet c") {
			t.Errorf("a jump to nowhere: %v; want the rule named", err)
		}
		if got := tables(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("tables after a refused batch: %q; want all of it undone", got)
		}

		// The Conn is in step after a failure.
		commit(t, c, func(b *nft.Batch) { b.Replace(simple("a")); b.Add(simple("b")) })
		if got := tables(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("tables: %q", got)
		}
		commit(t, c, func(b *nft.Batch) {
			b.Remove(nft.Inet, "a")
			b.Remove(nft.Inet, "b")
			b.Remove(nft.Inet, "never-was")
		})
		if got := tables(); len(got) != 0 {
			t.Errorf("tables after removal: %q", got)
		}

		var long nft.Batch
		long.Add(&nft.Table{Family: nft.Inet, Name: "long", Chains: []nft.Chain{{Name: "x", Rules: []nft.Rule{{nft.IIFName("sixteen-bytes-xx")}}}}})
		if err := c.Commit(&long); err == nil || !strings.Contains(err.Error(), "interface name") {
			t.Errorf("a name that is too long: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(&nft.Batch{}); err != nil {
			t.Errorf("an empty batch: %v", err)
		}
		if err := c.Commit(&long); err == nil {
			t.Error("a closed Conn commits")
		}
		if _, err := c.Tables(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("tables of a closed Conn: %v", err)
		}
	})
}

func TestLargeSets(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		var list []netip.Prefix
		for i := range 30000 {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 25))
		}
		commit(t, c, func(b *nft.Batch) {
			b.Add(&nft.Table{Family: nft.Inet, Name: "large", Chains: []nft.Chain{{
				Name: "x", Type: "filter", Hook: nft.Forward, Rules: []nft.Rule{{nft.DAddr(list...), nft.Drop()}},
			}}})
		})
	})
}

func TestRedirection(t *testing.T) {
	const some = `table inet x {
	flags owner

	chain prerouting {
		type nat hook prerouting priority -110; policy accept;
		iifname "lan0" tcp dport { 80, 443 } fib daddr type != local redirect to :8080
	}
}
`
	if got := nft.Redirection("x", "lan0", []uint16{443, 80, 80}, 8080).String(); got != some {
		t.Errorf("text: %s", cmp.Diff(some, got))
	}
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		commit(t, c, func(b *nft.Batch) { b.Add(nft.Redirection("all", "lan0", nil, 8080)) })
		var b nft.Batch
		b.Add(nft.Redirection("none", "", []uint16{80}, 8080))
		if err := c.Commit(&b); err == nil || !strings.Contains(err.Error(), "interface name") {
			t.Errorf("no interface: %v", err)
		}
	})
}

func TestOwnedTableEndsWithConn(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		owner := dial(t, h)
		commit(t, owner, func(b *nft.Batch) { b.Add(nft.Redirection("mine", "lo", []uint16{80}, 8080)) })
		var b nft.Batch
		b.Remove(nft.Inet, "mine")
		if err := c.Commit(&b); !errors.Is(err, syscall.EPERM) {
			t.Errorf("another Conn removes an owned table: %v; want EPERM", err)
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		if got := names(t, c); len(got) != 0 {
			t.Errorf("tables after the owner's end: %q", got)
		}
	})
}

const ownerVariable = "TRANSOM_TEST_NFT_OWNER"

// TestOwnerProcess is no test: it is the process that TestOwnedTableEndsWithProcess
// kills.
func TestOwnerProcess(t *testing.T) {
	if os.Getenv(ownerVariable) == "" {
		return // run as part of the suite: nothing to do
	}
	c, err := nft.Dial()
	if err != nil {
		t.Fatal(err)
	}
	commit(t, c, func(b *nft.Batch) { b.Add(nft.Redirection("mine", "lo", []uint16{80}, 8080)) })
	fmt.Println("ready")
	<-context.Background().Done()
}

func TestOwnedTableEndsWithProcess(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		cmd := h.Command(t.Context(), "/proc/self/exe", "-test.run=^TestOwnerProcess$")
		cmd.Env = append(os.Environ(), ownerVariable+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		word := make([]byte, 6)
		if _, err := out.Read(word); err != nil || string(word) != "ready\n" {
			t.Fatalf("the owner says %q, %v", word, err)
		}
		if got := names(t, c); !slices.Equal(got, []string{"mine"}) {
			t.Fatalf("tables while the owner lives: %q", got)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if got := names(t, c); len(got) != 0 {
			t.Errorf("tables after the owner was killed: %q", got)
		}
	})
}
