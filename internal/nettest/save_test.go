package nettest_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"transom/app/files"
	"transom/flow"
	"transom/store"
)

// saved reads files of flows into a store, and returns what kinds there are.
func saved(t *testing.T, names ...string) (*store.Memory, map[string]int) {
	t.Helper()
	to := store.NewMemory(store.MemoryOptions{})
	kinds := map[string]int{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := files.Read(context.Background(), f, name, to); err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	for f, err := range to.Flows(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds[f.Type()]++
	}
	return to, kinds
}

// TestSave: what passes is in a file that Debian's mitmproxy reads, and what it writes then
// is read here.
func TestSave(t *testing.T) {
	need(t, "curl", "mitmdump")
	w := newWorld(t)
	w.serve(func(rw http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Upgrade") == "" {
			shopping(rw, req)
			return
		}
		c, err := websocket.Accept(rw, req, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		_ = c.Write(req.Context(), websocket.MessageText, []byte("served"))
		_ = c.Close(websocket.StatusNormalClosure, "bye")
	})
	w.redirect("80,443")
	p := w.transom("-w", "flows.mitm", "--flow-format", "17", "-q", "!~u secret")
	cert := w.trusted()
	for _, args := range [][]string{
		{"http://shop.example/a?b=c"},
		{"-d", "12345", "https://shop.example/cart"},
		{"http://shop.example/secret"},
		{"--http1.1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "https://shop.example/chat"},
	} {
		if _, stderr, err := w.curl(cert, args...); err != nil && !strings.HasSuffix(args[len(args)-1], "/chat") { // which is more than curl knows
			t.Fatalf("curl %s: %v\n%s", args, err, stderr)
		}
	}
	p.stop()
	if !strings.Contains(p.log.String(), "connections=") {
		t.Error("it is not said that connections are left out")
	}
	_, kinds := saved(t, w.path("flows.mitm"))
	if kinds["http"] != 3 || kinds["websocket"] != 1 {
		t.Errorf("saved: %v", kinds)
	}
	said := w.must(w.Client, "mitmdump", "--set", "confdir="+w.path("mitmproxy"), "-n", "-r", w.path("flows.mitm"), "-w", w.path("again.mitm"), "--flow-detail", "3", "--showhost")
	for _, want := range []string{"GET http://shop.example/a?b=c", "POST https://shop.example/cart", "12345", "POST shop.example/cart with 5 bytes", "served", "1000 bye"} {
		if !strings.Contains(said, want) {
			t.Errorf("mitmdump has not found %q:\n%s", want, said)
		}
	}
	if err := os.Chmod(w.path("again.mitm"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, kinds := saved(t, w.path("again.mitm"))
	if kinds["http"] != 3 || kinds["websocket"] != 1 {
		t.Errorf("mitmproxy has saved: %v", kinds)
	}
	for f, err := range again.Flows(context.Background(), store.Query{}) {
		if h, ok := f.Detail.(*flow.HTTP); err != nil || ok && h.Request.Authority != "shop.example" {
			t.Errorf("%v: %v", err, f)
		}
	}
}

// TestSaveRotates: later files are made when all rights are gone.
func TestSaveRotates(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80,443")
	dir := w.path("saved")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whoever the proxy becomes
		t.Fatal(err)
	}
	p := w.transom("-w", "saved/%Y/%s.mitm.zst")
	cert, asked := w.trusted(), 0
	var names []string
	eventually(t, "more than one file", func() bool {
		if _, stderr, err := w.curl(cert, "http://shop.example/"); err != nil {
			t.Fatal(stderr)
		}
		asked++
		var err error
		names, err = filepath.Glob(filepath.Join(dir, "*", "*.mitm.zst"))
		return err == nil && len(names) > 2
	})
	p.stop()
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.mitm.zst"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if _, kinds := saved(t, names...); kinds["http"] != asked {
		t.Errorf("%d asked, saved: %v", asked, kinds)
	}
	if strings.Contains(p.log.String(), "can't be written") {
		t.Error("something could not be written")
	}
}
