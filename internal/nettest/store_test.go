package nettest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"transom/flow"
	"transom/platform/lab"
	"transom/store"
)

// recorded is a directory that whoever reads traffic can make one in.
func (w *world) recorded() string {
	w.t.Helper()
	for _, dir := range []string{filepath.Dir(w.dir), w.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.path("flows")
}

// wantRecorded fails unless an exchange of path was recorded in dir, with the body.
func (w *world) wantRecorded(dir, path string, body []byte) {
	w.t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if err != nil {
		w.t.Fatal(err)
	}
	defer d.Close()
	h := w.find(d.Flows(context.Background(), store.Query{}), path)
	if h == nil {
		w.t.Errorf("no exchange of %s was recorded", path)
		return
	}
	r, err := d.OpenBody(context.Background(), h.ResponseBody)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
		w.t.Errorf("the body: %d bytes, %v, want %d", len(got), err, len(body))
	}
}

// find returns the exchange of path that has ended, nil if there is none.
func (w *world) find(flows iter.Seq2[*flow.Flow, error], path string) *flow.HTTP {
	w.t.Helper()
	for f, err := range flows {
		if err != nil {
			w.t.Fatal(err)
		}
		if h, ok := f.Detail.(*flow.HTTP); ok && h.Request.Target == path && f.State == flow.Done {
			return h
		}
	}
	return nil
}

// written reports whether an exchange of path is in the files of a directory, beside
// whoever records there.
func (w *world) written(dir, path string) bool {
	w.t.Helper()
	r, err := store.OpenDiskReader(store.DiskOptions{Dir: dir})
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	return w.find(r.Flows(context.Background(), store.Query{}), path) != nil
}

// What is recorded goes to a directory with all rights given up, by each command; the
// next run adds to it.
func TestStore(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	serve := func(w *world) {
		w.serve(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(body) })
	}
	get := func(w *world, path string) {
		w.t.Helper()
		resp, err := w.browser(w.read(w.authority.file)).Get("http://" + shop + path)
		if err != nil {
			w.t.Fatal(err)
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
	}
	t.Run("listen", func(t *testing.T) {
		w := newWorld(t)
		serve(w)
		w.redirect("80")
		dir := w.recorded()
		for _, path := range []string{"/first", "/second"} {
			p := w.transom("--store", dir, "--lossless")
			get(w, path)
			p.stop()
			if !strings.Contains(p.log.String(), "recording to "+dir) {
				t.Error("it does not say where it records")
			}
		}
		w.wantRecorded(dir, "/first", body)
		w.wantRecorded(dir, "/second", body)
	})
	t.Run("gateway", func(t *testing.T) {
		w := newWorld(t)
		serve(w)
		dir := w.recorded()
		g := w.gateway("--store", dir)
		get(w, "/it")
		g.stop()
		w.wantRecorded(dir, "/it", body)
	})
	t.Run("killed", func(t *testing.T) {
		w := newWorld(t)
		serve(w)
		w.redirect("80")
		dir := w.recorded()
		p := w.transom("--store", dir, "--json")
		get(w, "/it")
		p.await(1, of("http"))
		eventually(t, "the exchange to be written", func() bool { return w.written(dir, "/it") })
		p.signal(syscall.SIGKILL)
		p.wait(-1)
		w.wantRecorded(dir, "/it", body)
	})
	t.Run("run", func(t *testing.T) {
		need(t, "curl")
		r := newRunner(t)
		dir := filepath.Join(r.home, "flows")
		if _, errs, code := r.run("--store", dir, "curl", "-sS", "-o", os.DevNull, "http://"+lab.ServerAddr4+"/it"); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		r.wantRecorded(dir, "/it", []byte("page /it\n"))
	})
}
