package nettest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// talk is what a script says over a WebSocket to a server that says it again;
// it then shows what it heard and how that ended. It counts on show(text).
const talk = `
const ws = new WebSocket(url), heard = []
const said = ['hello', 'hello again '.repeat(500), new Uint8Array([0, 1, 255]), 'grüße'.repeat(20000)]
ws.binaryType = 'arraybuffer'
ws.onopen = () => said.forEach(m => ws.send(m))
ws.onmessage = e => {
  heard.push(typeof e.data === 'string' ? e.data.length : [...new Uint8Array(e.data)].join())
  if (heard.length === said.length) ws.close(4001, 'enough')
}
ws.onclose = e => show(ws.extensions + ' heard ' + heard.join(' ') + ' then ' + e.code + ' ' + e.reason)
`

const heard = " heard 5 6000 0,1,255 100000 then 4001 enough"

// chatPage is loaded once done.js is, which comes when the page has said that it
// shows how the conversation went.
const chatPage = `<!doctype html>
<title>chat</title>
<script>
const url = location.href.replace('http', 'ws').replace('page', 'chat')
function show(text) { document.documentElement.setAttribute('shown', text); fetch('/shown') }
` + talk + `</script>
<script src="/done.js"></script>
`

// chat serves conversations, and a page that has one.
func chat(done chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte(chatPage))
		case "/shown":
			done <- struct{}{}
		case "/done.js":
			select {
			case <-done:
			case <-r.Context().Done():
			}
		case "/chat":
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
			if err != nil {
				return
			}
			defer c.CloseNow()
			c.SetReadLimit(1 << 20)
			for {
				kind, p, err := c.Read(r.Context())
				if err != nil {
					return
				}
				if err := c.Write(r.Context(), kind, p); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}
}

// TestWebSocket has a browser and Node converse with a server that compresses,
// with and without TLS. They hear what they would hear without us, and all of it
// is in the record.
func TestWebSocket(t *testing.T) {
	need(t, "chromium", "certutil", "node", "iptables", "ip6tables")
	for _, client := range []string{"chromium", "node"} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(client+"-"+scheme, func(t *testing.T) {
				w := newWorld(t)
				done := make(chan struct{}, 4)
				w.serve(chat(done))
				w.redirect("80,443")
				p := w.transom("--json", "--flow-detail", "3", "--upstream-ca", w.authority.file)
				cert := w.write("transom-ca.pem", w.must(w.Gateway, "transom", "ca", "export"))
				host := families[0].host
				var got string
				if client == "chromium" {
					w.trusts(cert)
					got = w.chromium(scheme+"://"+shop+"/page", "MAP "+shop+" "+host)
				} else {
					got = w.nodeChat(strings.Replace(scheme, "http", "ws", 1)+"://"+host+"/chat", cert)
				}
				if !strings.Contains(got, heard) {
					t.Errorf("the client shows no %q:\n%s", heard, got)
				}
				ended := p.await(1, func(r record) bool { return r.Type == "websocket" && r.Event == "end" })[0]
				// 'grüße' has seven octets; the last message is a close frame.
				if all := (counted{5, 5 + 6000 + 3 + 7*20000 + 8}); ended.Capture != "redirect" || ended.Messages.ToServer != all ||
					ended.Messages.ToClient != all || ended.Error != "" || ended.Handshake == "" {
					t.Errorf("recorded %+v", ended)
				}
				p.stop()
				var texts, closes int
				for _, r := range p.records() {
					switch {
					case r.Type != "websocket" || r.Event != "data":
					case r.Op == "close" && r.Code == 4001 && r.Text == "enough":
						closes++
					case r.Text == "hello" || r.Text == strings.Repeat("hello again ", 500) || r.Text == strings.Repeat("grüße", 20000) || r.Base64 == "AAH/":
						texts++
					}
				}
				if texts != 8 || closes != 2 {
					t.Errorf("%d messages and %d closes are recorded", texts, closes)
				}
			})
		}
	}
}

// nodeChat has Node's own WebSocket converse.
func (w *world) nodeChat(url, cert string) string {
	w.t.Helper()
	cmd := w.command(w.Client, "node", "--experimental-websocket", "-e", "const url = process.argv[1], show = console.log\n"+talk, url)
	cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+cert)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("node: %v\n%s", err, out)
	}
	return string(out)
}
