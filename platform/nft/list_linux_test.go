package nft_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
	"transom/platform/lab"
	"transom/platform/nft"
)

// two has a base chain with two rules and one chain without a hook.
func two(owned bool) *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: "two", Owned: owned, Chains: []nft.Chain{
		{Name: "in", Type: "filter", Hook: nft.Input, Priority: -150, Drop: true, Rules: []nft.Rule{
			{nft.L4Proto(nft.TCP), nft.Accept()},
			{nft.L4Proto(nft.UDP), nft.Accept(), nft.Comment("the second")},
		}},
		{Name: "notes"},
	}}
}

func TestLists(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		commit(t, c, func(b *nft.Batch) { b.Add(two(true)) })
		other := dial(t, h)
		for name, who := range map[string]*nft.Conn{"owner": c, "other": other} {
			list, err := who.Tables()
			if err != nil || len(list) != 1 || list[0].Name != "two" || list[0].Family != nft.Inet || !list[0].Owned || list[0].Owner == 0 {
				t.Errorf("%s: tables %+v, %v", name, list, err)
				continue
			}
			if list[0].Mine != (who == c) {
				t.Errorf("%s: mine %v", name, list[0].Mine)
			}
		}
		chains, err := other.Chains()
		if d := cmp.Diff([]nft.ChainInfo{
			{Family: nft.Inet, Table: "two", Name: "in", Type: "filter", Hook: nft.Input, Priority: -150, Drop: true},
			{Family: nft.Inet, Table: "two", Name: "notes"},
		}, chains); d != "" || err != nil {
			t.Errorf("chains (-want +got), %v:\n%s", err, d)
		}
		if list, err := other.Rules(nft.Inet, "two", "nowhere"); err != nil || len(list) != 0 {
			t.Errorf("rules of a chain that is not there: %+v, %v", list, err)
		}
	})
}

func TestInsertAndDelete(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		commit(t, c, func(b *nft.Batch) { b.Add(two(false)) })
		comments := func() (out []string) {
			t.Helper()
			list, err := c.Rules(nft.Inet, "two", "in")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				out = append(out, r.Comment)
			}
			return out
		}
		commit(t, c, func(b *nft.Batch) {
			b.Insert(nft.Inet, "two", "in", nft.Rule{nft.Mark(0x10, 0x70), nft.Accept(), nft.Comment("first")})
		})
		if d := cmp.Diff([]string{"first", "", "the second"}, comments()); d != "" {
			t.Errorf("after insert:\n%s", d)
		}
		list, err := c.Rules(nft.Inet, "two", "in")
		if err != nil {
			t.Fatal(err)
		}
		commit(t, c, func(b *nft.Batch) { b.Delete(list[0]) })
		if d := cmp.Diff([]string{"", "the second"}, comments()); d != "" {
			t.Errorf("after delete:\n%s", d)
		}
		var again nft.Batch
		again.Delete(list[0])
		if err := c.Commit(&again); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("deleted twice: %v", err)
		}
		var bad nft.Batch
		bad.Insert(nft.Inet, "two", "in", nft.Rule{nft.Accept(), nft.Comment(`a "quoted" one`)})
		if err := c.Commit(&bad); err == nil || !strings.Contains(err.Error(), "comment") {
			t.Errorf("a comment with quotes: %v", err)
		}
	})
}

func TestCounter(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		commit(t, c, func(b *nft.Batch) {
			b.Add(&nft.Table{Family: nft.Inet, Name: "count", Chains: []nft.Chain{{
				Name: "out", Type: "filter", Hook: nft.Output,
				Rules: []nft.Rule{{nft.L4Proto(nft.UDP), nft.Accept()}, {nft.DPort(nft.TCP, 9), nft.Counter(), nft.Accept()}},
			}}})
		})
		if _, err := h.Dial(t.Context(), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		list, err := c.Rules(nft.Inet, "count", "out")
		if err != nil || len(list) != 2 || list[0].Packets != 0 || list[1].Packets != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestTry(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		var good nft.Batch
		good.Add(everything())
		if err := c.Try(&good); err != nil {
			t.Errorf("a good table: %v", err)
		}
		var bad nft.Batch
		bad.Add(&nft.Table{Family: nft.Inet, Name: "c", Chains: []nft.Chain{{Name: "x", Rules: []nft.Rule{{nft.Jump("nowhere")}}}}})
		if err := c.Try(&bad); err == nil || !strings.Contains(err.Error(), "jump nowhere") || strings.Contains(err.Error(), "refused") {
			t.Errorf("a bad table: %v", err)
		}
		if got := names(t, c); len(got) != 0 {
			t.Errorf("tables after trying: %q", got)
		}
	})
}

func TestWatch(t *testing.T) {
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		var w *nft.Watch
		if err := h.Do(func() (err error) {
			w, err = c.Watch()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		commit(t, c, func(b *nft.Batch) { b.Add(two(false)) })
		heard := make(chan error, 8)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				err := w.Next()
				if heard <- err; err != nil {
					return
				}
			}
		}()
		commit(t, dial(t, h), func(b *nft.Batch) {
			b.Add(&nft.Table{Family: nft.IPv4, Name: "other", Chains: []nft.Chain{{Name: "x"}}})
		})
		if err := <-heard; err != nil {
			t.Errorf("a chain of another: %v", err)
		}
		w.Close()
		<-done
		if len(heard) != 1 {
			t.Errorf("heard %d more things, want the end alone: what we change is left out", len(heard))
		}
		if err := <-heard; !errors.Is(err, os.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestSocketCgroup(t *testing.T) {
	dir, err := os.MkdirTemp("/sys/fs/cgroup/unified", "transom-test-")
	if errors.Is(err, os.ErrNotExist) {
		dir, err = os.MkdirTemp("/sys/fs/cgroup", "transom-test-")
	}
	testnet.Need(t, err == nil, "a cgroup of version 2 that can be written to, at /sys/fs/cgroup")
	t.Cleanup(func() { os.Remove(dir) })
	inHost(t, func(h *lab.Host, c *nft.Conn) {
		add := func(path string) error {
			var b nft.Batch
			b.Add(&nft.Table{Family: nft.Inet, Name: "x", Chains: []nft.Chain{{
				Name: "out", Type: "filter", Hook: nft.Output,
				Rules: []nft.Rule{{nft.SocketCgroup(path), nft.Accept()}},
			}}})
			return c.Commit(&b)
		}
		err := add(filepath.Base(dir))
		testnet.Need(t, !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EOPNOTSUPP), "a kernel whose nf_tables know cgroups")
		if err != nil {
			t.Error(err)
		}
		if err := add("transom/is/not/there"); err == nil || !strings.Contains(err.Error(), "transom/is/not/there") {
			t.Errorf("a cgroup that is not there: %v", err)
		}
	})
}
