package har_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"transom/internal/testnet"
)

// A devTools is a page in which Chromium's own DevTools can be asked.
type devTools struct {
	t  *testing.T
	c  *websocket.Conn
	id int
}

// chromium starts a browser, which ends with the test, and returns where it answers.
func chromium(t *testing.T) (host string) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	testnet.Need(t, err == nil, "the program chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
		"--user-data-dir="+dir, "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = cmd.Wait()        // it is killed
		_ = os.RemoveAll(dir) // in which its children may still be busy
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "DevTools listening on ws://"); ok {
			host, _, _ = strings.Cut(at, "/")
			wg.Go(func() {
				for lines.Scan() { // or it would wait for us
				}
			})
			return host
		}
	}
	t.Fatal("the browser has not started")
	return ""
}

// openDevTools opens a page that has DevTools' modules within reach.
func openDevTools(t *testing.T) *devTools {
	t.Helper()
	host := chromium(t)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+host+"/json/new?about:blank", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	c, _, err := websocket.Dial(t.Context(), page.WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(64 << 20)
	d := &devTools{t: t, c: c}
	d.call("Page.enable", nil)
	d.call("Page.navigate", map[string]any{"url": "http://" + host + "/json/version"})
	for d.read().Method != "Page.loadEventFired" {
	}
	return d
}

// A said is an answer, or an event.
type said struct {
	ID            int
	Method        string
	Error, Result json.RawMessage
}

func (d *devTools) read() (s said) {
	d.t.Helper()
	_, b, err := d.c.Read(d.t.Context())
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// call asks something of the Chrome DevTools Protocol.
func (d *devTools) call(method string, params any) (result json.RawMessage) {
	d.t.Helper()
	d.id++
	b, err := json.Marshal(map[string]any{"id": d.id, "method": method, "params": params})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.c.Write(d.t.Context(), websocket.MessageText, b); err != nil {
		d.t.Fatal(err)
	}
	for {
		switch s := d.read(); {
		case s.ID != d.id: // an event
		case s.Error != nil:
			d.t.Fatalf("%s: %s", method, s.Error)
		default:
			return s.Result
		}
	}
}

// run has a script run, and reads what it returns.
func (d *devTools) run(script string, to any) {
	d.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	result := d.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true})
	if err := json.Unmarshal(result, &out); err != nil {
		d.t.Fatal(err)
	}
	if out.ExceptionDetails != nil {
		d.t.Fatalf("DevTools: %s", out.ExceptionDetails)
	}
	if err := json.Unmarshal(out.Result.Value, to); err != nil {
		d.t.Fatalf("%v in %s", err, out.Result.Value)
	}
}

// imported has DevTools import a file, as its Network panel does, and tell what it has then.
const imported = `(async () => {
	const {HARFormat, Importer} = await import('/devtools/models/har/har.js')
	const root = new HARFormat.HARRoot(JSON.parse(%s))
	const pairs = list => list.map(h => [h.name, h.value])
	return await Promise.all(Importer.Importer.requestsFromHARLog(root.log).map(async r => {
		const content = await r.requestContentData()
		return {
			url: r.url(), method: r.requestMethod, status: r.statusCode, reason: r.statusText, protocol: r.protocol,
			asked: pairs(r.requestHeaders()), answered: pairs(r.responseHeaders), form: await r.requestFormData(),
			body: content.isTextContent ? content.text : content.base64, size: r.resourceSize, transferred: r.transferSize,
			frames: r.frames().map(f => [f.type, f.opCode, f.text, f.time]), server: r.remoteAddress(),
			start: r.issueTime() * 1000, duration: r.duration * 1000,
		}
	}))
})()`

// A request is one that DevTools has.
type request struct {
	URL, Method, Reason, Protocol, Server string
	Status, Size, Transferred             float64
	Asked, Answered                       [][2]string
	Form, Body                            *string
	Frames                                [][4]any
	Start, Duration                       float64
}

// TestDevToolsImport: Chromium's own DevTools open a file, and have all of it.
func TestDevToolsImport(t *testing.T) {
	w := newWorld(t)
	doc := w.write(w.some()...)
	quoted, err := json.Marshal(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	var got []request
	openDevTools(t).run(fmt.Sprintf(imported, quoted), &got)
	entries := parse(t, doc)
	if len(got) != len(entries) {
		t.Fatalf("DevTools have %d requests, of %d", len(got), len(entries))
	}
	bodies, frames := 0, 0
	for i, r := range got {
		e := entries[i]
		text := func(path ...string) string { s, _ := at(e, path...).(string); return s }
		number := func(path ...string) float64 { n, _ := at(e, path...).(float64); return n }
		pairs := func(of string) (list [][2]string) {
			for _, p := range at(e, of, "headers").([]any) {
				list = append(list, [2]string{at(p, "name").(string), at(p, "value").(string)})
			}
			return list
		}
		started, err := time.Parse(time.RFC3339Nano, text("startedDateTime"))
		if err != nil {
			t.Fatal(err)
		}
		want := request{
			URL: text("request", "url"), Method: text("request", "method"), Reason: text("response", "statusText"), Status: number("response", "status"),
			Protocol: strings.Replace(strings.ToLower(text("response", "httpVersion")), "http/2.0", "h2", 1), Server: r.Server,
			Size: number("response", "content", "size"), Transferred: number("response", "_transferSize"),
			Asked: pairs("request"), Answered: pairs("response"), Form: r.Form, Body: r.Body, Frames: r.Frames, Start: r.Start, Duration: r.Duration,
		}
		if want.Size == 0 { // a body that is not there
			want.Size = max(number("response", "headersSize"), 0) + max(number("response", "bodySize"), 0)
		}
		if d := cmp.Diff(want, r, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("entry %d: %s", i, d)
		}
		if ip := text("serverIPAddress"); ip != "" && !strings.Contains(r.Server, ip) {
			t.Errorf("entry %d: the server is %q, want %q", i, r.Server, ip)
		}
		if math.Abs(r.Start-float64(started.UnixNano())/1e6) > 1 || math.Abs(r.Duration-number("time")) > 1 {
			t.Errorf("entry %d: it began at %v and took %v, want %v and %v", i, r.Start, r.Duration, started, number("time"))
		}
		if s, ok := at(e, "request", "postData", "text").(string); ok && (r.Form == nil || *r.Form != s) {
			t.Errorf("entry %d: the form is %v, want %q", i, r.Form, s)
		}
		if s, ok := at(e, "response", "content", "text").(string); ok && s != "" {
			if text("response", "content", "encoding") == "base64" { // which they undo, of what is said to be text
				b, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					t.Errorf("entry %d: %v", i, err)
				}
				s = strings.ToValidUTF8(string(b), "\ufffd")
			}
			if bodies++; r.Body == nil || *r.Body != s {
				t.Errorf("entry %d: the body is %q, want %q", i, *r.Body, s)
			}
		}
		messages, _ := at(e, "_webSocketMessages").([]any)
		if len(messages) != len(r.Frames) {
			t.Fatalf("entry %d: %d frames, want %d", i, len(r.Frames), len(messages))
		}
		for j, m := range messages {
			frames++
			if d := cmp.Diff([4]any{at(m, "type"), at(m, "opcode"), at(m, "data"), at(m, "time")}, r.Frames[j]); d != "" {
				t.Errorf("entry %d: frame %d: %s", i, j, d)
			}
		}
	}
	if bodies < 3 || frames < 2 {
		t.Errorf("there were %d bodies and %d frames", bodies, frames)
	}
}
