// Package labtest gives tests networks out of namespaces, or skips them where
// there can be none. It is apart from package testnet because that is also for
// tests that need no kernel.
package labtest

import (
	"fmt"
	"os"
	"testing"

	"transom/internal/testnet"
	"transom/platform/lab"
	"transom/platform/nft"
)

// Main is the body of TestMain for packages that use this one: it runs the
// tests in a user namespace if the process has no right to make namespaces. Where
// that is forbidden too, the tests run and the ones that need a network skip.
func Main(m *testing.M) {
	done, code, err := lab.Reexec()
	if done {
		os.Exit(code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces are skipped:", err)
	}
	os.Exit(m.Run())
}

// New returns an empty lab that is closed when t ends.
func New(t testing.TB) *lab.Lab {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLab(t, l) })
	_, err = l.Host("probe")
	testnet.Need(t, err == nil, fmt.Sprint("network namespaces: ", err))
	return l
}

// Gateway returns a client, a gateway and a server; they are closed when t
// ends.
func Gateway(t testing.TB) *lab.Net {
	t.Helper()
	n, err := lab.Gateway()
	if err != nil {
		New(t) // skips if there can be no lab at all
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLab(t, n.Lab) })
	return n
}

func closeLab(t testing.TB, l *lab.Lab) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Rules puts nft tables in force on h until t ends. Owned ones are gone then,
// the others with the lab.
func Rules(t testing.TB, h *lab.Host, tables ...*nft.Table) {
	t.Helper()
	var c *nft.Conn
	if err := h.Do(func() (err error) {
		c, err = nft.Dial()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var b nft.Batch
	for _, x := range tables {
		b.Add(x)
	}
	if err := c.Commit(&b); err != nil {
		t.Fatal(err)
	}
}
