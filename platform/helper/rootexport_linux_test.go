package helper

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	"transom/platform/pf"
)

// What runs where pf steers, for tests on any system.

type RootClient = rootClient

// StartRoot starts a watch and a helper of this test's, with a lock at a path.
func StartRoot(ctx context.Context, path string, c Charter, o Options) (*RootClient, error) {
	lock, err := lockRoot(ctx, path, time.Second)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	o.Program, o.Args = "/proc/self/exe", []string{"helper", "root-watch"}
	return startRoot(ctx, c, lock.f, o)
}

func WatchRoot(r Rights) error {
	return watchRoot(context.Background(), WatchOptions{Rights: r, Program: "/proc/self/exe", Args: []string{"helper", "root-serve"}})
}

func ServeRoot(r Rights) error {
	return serveRoot(context.Background(), rootRights{r, func() (pf.Looker, io.Closer, error) {
		return lookSelf{}, io.NopCloser(nil), nil
	}})
}

// lookSelf says that everybody meant port 443 of where they come from.
type lookSelf struct{}

func (lookSelf) Original(client, _ netip.AddrPort) (netip.AddrPort, error) {
	return netip.AddrPortFrom(client.Addr(), 443), nil
}

// WatchOf is the process of the watch.
func WatchOf(c *RootClient) int { return c.watch.Process.Pid }

// LockedRoot waits until nobody has the lock.
func LockedRoot(t testing.TB, path string) error {
	l, err := lockRoot(t.Context(), path, 20*time.Second)
	if err != nil {
		return err
	}
	return l.Close()
}

func RunningRoot(path string) *RunningError { return runningRoot(path) }
