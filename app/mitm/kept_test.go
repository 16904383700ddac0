package mitm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/app/mitm"
	"transom/internal/testnet"
	"transom/store"
)

// through puts a file's flows into a directory, and returns the file that is made of that.
func through(t *testing.T, file []byte, format int) []byte {
	t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: t.TempDir(), Lossless: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := mitm.Read(context.Background(), bytes.NewReader(file), d); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := mitm.NewWriter(&out, mitm.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	for f, err := range d.Flows(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(context.Background(), f, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// written is what has mitmproxy make flows with something in each place that it has.
const keptFlows = `
from mitmproxy import ctx, http, io, certs
from mitmproxy.net.server_spec import ServerSpec
from mitmproxy.test import tflow
def ends(x):
    c, s = x.client_conn, x.server_conn
    c.peername, c.sockname, c.state = ("192.0.2.7", 40000), ("::1", 8080, 0, 0), c.state
    c.tls, c.tls_version, c.sni, c.cipher, c.alpn = True, "TLSv1.3", "shop.test", "TLS_AES_128_GCM_SHA256", b"h2"
    c.alpn_offers, c.cipher_list, c.timestamp_end = [b"h2", b"http/1.1"], ["A", "B"], None
    s.address, s.peername, s.sockname = ("shop.test", 443), ("203.0.113.7", 443), ("198.51.100.1", 5)
    s.tls, s.tls_version, s.sni, s.cipher, s.alpn = True, "TLSv1.2", "shop.test", "ECDHE-RSA-AES128-GCM-SHA256", b"h2"
    s.via = ServerSpec("http", ("upstream.test", 3128))
    return x
def said(x):
    x.comment, x.marked, x.is_replay, x.intercepted = "slow", ":grapes:", "request", False
    x.metadata = {"script": "says", "n": 7, "list": [1, "two", None, {"three": 3.5}]}
    return x
def running():
    odd = tflow.tflow(resp=True)
    odd.request.host, odd.request.port, odd.request.authority, odd.request.http_version = "10.9.9.9", 8443, "other.test", "HTTP/2.0"
    odd.response.http_version = "HTTP/1.1"
    changed = said(tflow.tflow(resp=True))
    changed.backup()
    changed.request.method, changed.comment, changed.marked = "PUT", "changed", ":default:"
    with open(ctx.options.made, "wb") as f:
        w = io.FlowWriter(f)
        for x in (ends(said(tflow.tflow(resp=True))), said(tflow.tflow(err=True)), ends(tflow.tflow(resp=True)), tflow.tflow(resp=True), odd, changed,
                said(tflow.twebsocketflow()), ends(tflow.twebsocketflow(err=True)), ends(said(tflow.ttcpflow())), tflow.ttcpflow(err=True),
                ends(said(tflow.tdnsflow(resp=True))), tflow.tdnsflow(err=True)):
            w.add(x)
    ctx.master.shutdown()
def load(l): l.add_option("made", str, "", "")
`

// keptStates has mitmproxy say all that it has found in files.
const keptStates = `
import json
from mitmproxy import ctx, io
def plain(v):
    if isinstance(v, bytes): return {"bytes": v.hex()}
    if isinstance(v, dict): return {str(k): plain(x) for k, x in v.items() if k not in ("transom", "transom_conn")}
    if isinstance(v, (list, tuple)): return [plain(x) for x in v]
    return v
def running():
    for name in ctx.options.files.split(":"):
        with open(name, "rb") as f:
            for x in io.FlowReader(f).stream():
                print("STATE " + json.dumps([name, plain(x.get_state())]), flush=True)
    ctx.master.shutdown()
def load(l): l.add_option("files", str, "", "")
`

// TestPeersOwnKept: a file of Debian's mitmproxy that has been in a store here says all
// that it had said, field by field.
func TestPeersOwnKept(t *testing.T) {
	_, err := exec.LookPath("mitmdump")
	testnet.Need(t, err == nil, "mitmdump")
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for file, data := range map[string]string{"empty": "", "made.py": keptFlows, "states.py": keptStates} {
		if err := os.WriteFile(name(file), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mitmdump(t, name("empty"), "-s", name("made.py"), "--set", "made="+name("theirs"))
	file, err := os.ReadFile(name("theirs"))
	if err != nil {
		t.Fatal(err)
	}
	once := through(t, file, 17)
	twice := through(t, through(t, once, mitm.Newest), 17) // by way of a newer format
	for file, data := range map[string][]byte{"once": once, "twice": twice} {
		if err := os.WriteFile(name(file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	states := map[string]map[string]any{}
	for line := range strings.Lines(mitmdump(t, name("empty"), "-s", name("states.py"), "--set", "files="+name("theirs")+":"+name("once")+":"+name("twice"))) {
		data, ok := strings.CutPrefix(line, "STATE ")
		if !ok {
			continue
		}
		var said [2]any
		if err := json.Unmarshal([]byte(data), &said); err != nil {
			t.Fatal(err)
		}
		of := filepath.Base(said[0].(string))
		if states[of] == nil {
			states[of] = map[string]any{}
		}
		states[of][said[1].(map[string]any)["id"].(string)] = said[1]
	}
	if len(states["theirs"]) != 12 {
		t.Fatalf("mitmproxy has made %d flows", len(states["theirs"]))
	}
	for _, of := range []string{"once", "twice"} {
		if d := cmp.Diff(states["theirs"], states[of]); d != "" {
			t.Errorf("%s: %s", of, d)
		}
	}
}
