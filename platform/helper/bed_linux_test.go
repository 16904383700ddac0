package helper_test

import (
	"bufio"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/lab"
)

// soon is when a test gives up; nothing depends on how long something takes.
const soon = 2 * time.Minute

func charter() helper.Charter {
	return helper.Charter{
		Steering: platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Spoof: true},
		Backend:  "nft",
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("[::]:8080"), netip.MustParseAddrPort("127.0.0.1:8081")},
		Sources: []netip.Prefix{
			netip.MustParsePrefix(lab.ClientAddr4 + "/24"),
			netip.MustParsePrefix(lab.ClientAddr6 + "/64"),
		},
		SourcePort: true,
		Mark:       true,
	}
}

// A bed is a gateway with a helper.
type bed struct {
	*lab.Net
	*helper.Client
	diary *diary
	log   *testnet.Log
}

func start(t testing.TB, c helper.Charter) *bed {
	t.Helper()
	b := bedWithoutHelper(t)
	var err error
	if b.Client, err = b.start(t, c); err != nil {
		t.Fatal(err)
	}
	return b
}

func bedWithoutHelper(t testing.TB) *bed {
	t.Helper()
	return &bed{Net: labtest.Gateway(t), diary: newDiary(t), log: &testnet.Log{}}
}

// start starts a helper on the gateway. It is closed when t ends.
func (b *bed) start(t testing.TB, charter helper.Charter) (c *helper.Client, err error) {
	err = b.Gateway.Do(func() error {
		c, err = helper.Start(t.Context(), charter, helper.Options{Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		return err
	})
	if err == nil {
		t.Cleanup(func() {
			if err := c.Close(); err != nil && c.Err() == nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

// A diary is what fakes in other processes write.
type diary struct {
	entries chan entry
}

type entry struct {
	pid  int
	what string
}

// newDiary reads a named pipe, whose name the processes find in the environment.
func newDiary(t testing.TB) *diary {
	t.Helper()
	name := filepath.Join(t.TempDir(), "diary")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(diaryVariable, name)
	f, err := os.OpenFile(name, os.O_RDWR, 0) // a writer of our own: it never ends by itself
	if err != nil {
		t.Fatal(err)
	}
	d := &diary{make(chan entry, 1024)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for s := bufio.NewScanner(f); s.Scan(); {
			pid, what, _ := strings.Cut(s.Text(), " ")
			n, _ := strconv.Atoi(pid)
			d.entries <- entry{n, what}
		}
	})
	t.Cleanup(func() { f.Close(); wg.Wait() })
	return d
}

// next waits for an entry.
func (d *diary) next(t testing.TB) entry {
	t.Helper()
	select {
	case e := <-d.entries:
		return e
	case <-time.After(soon):
		t.Fatal("nobody tells the steerer anything")
		return entry{}
	}
}

// await returns the process of the next entry, which has to be what.
func (d *diary) await(t testing.TB, what string) int {
	t.Helper()
	e := d.next(t)
	if e.what != what {
		t.Fatalf("the steerer was told %q, want %q", e.what, what)
	}
	return e.pid
}

// until waits for what; before it may be others, as often as they like.
func (d *diary) until(t testing.TB, what string, others ...string) {
	t.Helper()
	for {
		e := d.next(t)
		if e.what == what {
			return
		}
		if !slices.Contains(others, e.what) {
			t.Errorf("the steerer was told %q, before %q", e.what, what)
		}
	}
}

// nothing fails if there is another entry.
func (d *diary) nothing(t testing.TB) {
	t.Helper()
	select {
	case e := <-d.entries:
		t.Errorf("the steerer was told %q", e.what)
	default:
	}
}
