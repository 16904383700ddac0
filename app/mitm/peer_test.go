package mitm_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/app/mitm"
	"transom/flow"
	"transom/internal/testnet"
)

// mitmdump runs mitmproxy's program over a file, and returns what it prints.
func mitmdump(t *testing.T, file string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args = append([]string{"--set", "confdir=" + t.TempDir(), "-q", "-n", "-r", file}, args...)
	out, err := exec.CommandContext(ctx, "mitmdump", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("mitmdump %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// told has mitmproxy say what it finds in a flow, by its own names.
const told = `
import json
def say(f, kind, **more):
    c, s = f.client_conn, f.server_conn
    more.update(type=kind, id=f.id, error=f.error and f.error.msg, client=c.peername, sni=c.sni, tls=c.tls_version,
        server=s.peername, to=s.address, certificates=[x.cn for x in s.certificate_list], changed=f.modified())
    print("TOLD " + json.dumps(more), flush=True)
def message(m):
    return m and dict(version=m.http_version, headers=[[k.hex(), v.hex()] for k, v in m.headers.fields],
        content=None if m.raw_content is None else m.raw_content.hex(), start=m.timestamp_start, end=m.timestamp_end)
def http(f):
    q, s, w = f.request, f.response, f.websocket
    say(f, "http", request=dict(message(q), method=q.method, scheme=q.scheme, host=q.host, port=q.port, authority=q.authority, path=q.path),
        response=s and dict(message(s), status=s.status_code, reason=s.reason),
        websocket=w and dict(messages=[[m.from_client, int(m.type), m.content.hex(), m.dropped, m.injected] for m in w.messages],
            code=w.close_code, reason=w.close_reason, client=w.closed_by_client))
def response(f):
    if f.websocket or not f.error: http(f)
def error(f):
    if not f.websocket: http(f)
def tcp_end(f): say(f, "tcp", messages=[[m.from_client, m.content.hex()] for m in f.messages])
def tcp_error(f): tcp_end(f)
def dns_message(m):
    return m and dict(id=m.id, query=m.query, rd=m.recursion_desired, ra=m.recursion_available, questions=[q.name for q in m.questions], answers=[str(a) for a in m.answers])
def dns_response(f): say(f, "dns", request=dns_message(f.request), response=dns_message(f.response))
def dns_error(f): dns_response(f)
`

// TestPeer: mitmproxy of Debian reads what is written here, field by field, and what it writes
// then is read here as it was.
func TestPeer(t *testing.T) {
	_, err := exec.LookPath("mitmdump")
	testnet.Need(t, err == nil, "mitmdump")
	s := all(t)
	for _, format := range []int{12, 17} {
		in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
		script := filepath.Join(t.TempDir(), "told.py")
		if err := os.WriteFile(in, written(t, s, format), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(script, []byte(told), 0o600); err != nil {
			t.Fatal(err)
		}
		said := mitmdump(t, in, "-w", out, "-s", script)
		var want []kept
		var wantTold []string
		for _, f := range s.flows {
			if kind := f.Type(); (kind != "udp" || format >= 18) && (kind != "dns" || format >= 17) {
				want = append(want, keep(t, s.Memory, f))
				if kind != "websocket" { // it is in its handshake
					wantTold = append(wantTold, f.ID.String())
				}
			}
		}
		file, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, everything(t, read(t, file)), equal(time.Microsecond), cmp.Comparer(sameLog)); d != "" {
			t.Errorf("format %d, written by mitmproxy: %s", format, d)
		}
		var ids []string
		for line := range strings.SplitSeq(said, "\n") {
			data, ok := strings.CutPrefix(line, "TOLD ")
			if !ok {
				continue
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(data), &got); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, got["id"].(string))
			for _, f := range s.flows {
				if f.ID.String() == got["id"] {
					compare(t, s, f, got, format)
				}
			}
		}
		if d := cmp.Diff(wantTold, ids); d != "" {
			t.Errorf("format %d: mitmproxy has found %s\n%s", format, d, said)
		}
	}
}

// sameLog compares logs of messages, in which times are not to the nanosecond.
func sameLog(a, b kept) bool {
	m, ok := a.Detail.(*flow.Messages)
	n, ok2 := b.Detail.(*flow.Messages)
	if !ok || !ok2 {
		return cmp.Equal(a.Flow, b.Flow, equal(time.Microsecond)) && cmp.Equal(a.Bodies, b.Bodies)
	}
	x, y := *a.Flow, *b.Flow
	mm, nn := *m, *n
	mm.Log, nn.Log = flow.BodyRef{}, flow.BodyRef{}
	x.Detail, y.Detail = &mm, &nn
	return cmp.Equal(x, y, equal(time.Microsecond)) && cmp.Equal(entries(a.Bodies[0]), entries(b.Bodies[0]), equal(time.Microsecond), cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() <= time.Microsecond }))
}

func header(h flow.Header) []any {
	out := []any{}
	for i := range h {
		out = append(out, []any{hex.EncodeToString([]byte(h[i].Name)), hex.EncodeToString([]byte(h[i].Value))})
	}
	return out
}

// compare compares what mitmproxy has told of a flow with the flow.
func compare(t *testing.T, s *scene, f *flow.Flow, got map[string]any, format int) {
	t.Helper()
	check := func(what string, got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("flow %s: %s: %s", f.ID, what, d)
		}
	}
	check("client", got["client"], []any{"192.0.2.7", 40000.0})
	if tls := f.Conn.TLS(); tls != nil {
		check("sni", got["sni"], tls.ServerName)
		check("version", got["tls"], "TLSv1.3")
		check("certificates", got["certificates"], []any{"shop.test", "shop.test"})
	}
	bodies := keep(t, s.Memory, f).Bodies
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		req := got["request"].(map[string]any)
		check("method", req["method"], d.Request.Method)
		check("headers", req["headers"], header(d.Request.Header))
		if !d.RequestBody.Truncated {
			check("body", req["content"], hex.EncodeToString([]byte(bodies[0])))
		} else {
			check("body", req["content"], nil)
		}
		check("changed", got["changed"], d.OriginalRequest != nil)
		start, err := strconv.ParseFloat(fmt.Sprintf("%d.%09d", f.Start.Unix(), f.Start.Nanosecond()), 64)
		check("start", req["start"], start)
		check("reading it", err, nil)
		if d.Response == nil {
			check("response", got["response"], nil)
			check("error", got["error"], f.Err)
			break
		}
		resp := got["response"].(map[string]any)
		check("status", resp["status"], float64(d.Response.Status))
		check("reason", resp["reason"], d.Response.Reason)
		check("headers", resp["headers"], header(d.Response.Header))
		check("body", resp["content"], hex.EncodeToString([]byte(bodies[1])))
		if !d.Began.IsZero() {
			ws := got["websocket"].(map[string]any)
			check("messages", ws["messages"], []any{
				[]any{true, 1.0, hex.EncodeToString([]byte("hello")), false, false},
				[]any{false, 2.0, "ff", false, format >= 15},
				[]any{true, 1.0, hex.EncodeToString([]byte("gone")), true, false},
			})
			check("close", []any{ws["code"], ws["reason"], ws["client"]}, []any{1000.0, "ok", false})
		}
	case *flow.Messages:
		check("count", len(got["messages"].([]any)), int(d.Count[0]+d.Count[1]))
		if f.Err != "" {
			check("error", got["error"], f.Err)
		}
	case *flow.DNS:
		check("query", got["request"], map[string]any{"id": 4660.0, "query": true, "rd": true, "ra": false, "questions": []any{"www.test"}, "answers": []any{}})
		if d.Answer != nil {
			check("answer", got["response"], map[string]any{"id": 4660.0, "query": false, "rd": true, "ra": true, "questions": []any{"www.test"}, "answers": []any{"ab.test", "203.0.113.7"}})
		}
	}
}

// TestFormats: what a format can't have is counted.
func TestFormats(t *testing.T) {
	s := all(t)
	s.add(&flow.Flow{ID: s.id(500), Conn: s.conn("tcp"), State: flow.Done, Detail: &flow.Connection{Type: "tls"}})
	s.add(&flow.Flow{ID: s.id(501), Conn: s.conn("tcp"), State: flow.Failed, Detail: &flow.HTTP{Request: &flow.RequestHead{Raw: []byte("\x16\x03")}}})
	for format, want := range map[int]mitm.LeftOut{
		12: {Connections: 1, Unreadable: 1, Format: 3}, 17: {Connections: 1, Unreadable: 1, Format: 1}, 21: {Connections: 1, Unreadable: 1},
	} {
		w, err := mitm.NewWriter(new(strings.Builder), mitm.Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.flows {
			if err := w.Write(context.Background(), f, s.Memory); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(want, w.LeftOut()); d != "" {
			t.Errorf("format %d: %s", format, d)
		}
	}
	for _, format := range []int{11, 22, -1} {
		if _, err := mitm.NewWriter(nil, mitm.Options{Format: format}); err == nil {
			t.Errorf("format %d: no error", format)
		}
	}
}

// made has mitmproxy make flows of all its kinds, as its own tests have them.
const made = `
from mitmproxy import ctx, http, io
from mitmproxy.test import tflow
def running():
    with open(ctx.options.made, "wb") as f:
        w = io.FlowWriter(f)
        for x in (tflow.tflow(resp=True), tflow.tflow(err=True), tflow.twebsocketflow(), tflow.twebsocketflow(err=True),
                tflow.ttcpflow(), tflow.ttcpflow(err=True), tflow.tdnsflow(resp=True), tflow.tdnsflow(err=True)):
            w.add(x)
        x = tflow.tflow(resp=True)
        x.backup()
        x.request.method, x.comment, x.marked = "PUT", "slow", ":grapes:"
        w.add(x)
    ctx.master.shutdown()
def load(l): l.add_option("made", str, "", "")
`

// TestPeersOwn: flows that Debian's mitmproxy has made are read.
func TestPeersOwn(t *testing.T) {
	_, err := exec.LookPath("mitmdump")
	testnet.Need(t, err == nil, "mitmdump")
	empty, script, out := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "made.py"), filepath.Join(t.TempDir(), "out")
	for name, data := range map[string]string{empty: "", script: made} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mitmdump(t, empty, "-s", script, "--set", "made="+out)
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range everything(t, read(t, file)) {
		line := k.Type() + " " + k.Err + fmt.Sprintf("%q", k.Bodies)
		switch d := k.Detail.(type) {
		case *flow.HTTP:
			line += " " + d.Request.Method + " " + d.Request.Target + " " + d.Request.Authority
			if d.Response != nil {
				line += " " + d.Response.Reason
			}
			if d.OriginalRequest != nil {
				line += " was " + d.OriginalRequest.Method
			}
			line += strings.Join(append(d.Notes, k.Tags...), " ")
		case *flow.DNS:
			line += " " + d.Query.Questions[0].Name
			if d.Answer != nil {
				line += " " + d.Answer.Answers[0].Data
			}
		case *flow.Messages:
			line += fmt.Sprint(" ", d.Count)
		}
		got = append(got, line)
	}
	slices.Sort(got)
	const messages = `"\x80\x02\x00\fhello binary\x80\x01\x80\x94\xeb\xdc\x03\nhello text\x81\x01\x80\x94\xeb\xdc\x03\ait's me`
	const stream = `["\x00\x80\xd4\xdb\xd2\x0f\x05hello\x01\x80Ɔ\x8f\x01\ait's me"] [1 1]`
	want := []string{
		"dns [] dns.google 8.8.8.8",
		"dns error[] dns.google",
		`http ["" ""] GET http://example.com/ws example.com Switching Protocols`,
		`http ["" ""] GET http://example.com/ws example.com Switching Protocols`,
		`http ["content" "message"] GET /path  OK`,
		`http ["content" "message"] PUT /path  OK was GETcomment: slow :grapes:`,
		`http error["content" ""] GET /path `,
		"tcp " + stream,
		"tcp error" + stream,
		"websocket [" + messages + `"] [2 1]`,
		"websocket [" + messages + `\x81\b\x00\x02\x03\xe8"] [2 2]`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
