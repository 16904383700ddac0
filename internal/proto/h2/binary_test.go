package h2_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// binaryMetadata is how gRPC's endpoints say that fields named -bin may have any
// bytes.
var binaryMetadata = http2.Setting{ID: 0xfe03, Val: 1}

const rfcRaw = "a-bin=\x00\r\n\xff "

// TestBinaryMetadata goes through as it came where both sides have agreed to it.
func TestBinaryMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t, binaryMetadata)
		defer w.finish()
		w.settle()
		ask, answer := with(rfcPost, rfcRaw), []string{":status=200", rfcRaw}
		w.client.head(1, false, ask...)
		w.client.head(1, true, rfcRaw)
		w.settle()
		w.server.wantStream(1, strings.Join(ask, " ")+"|"+rfcRaw+"|END")
		w.server.head(1, false, answer...)
		w.server.head(1, true, rfcRaw)
		w.settle()
		w.client.wantStream(1, strings.Join(answer, " ")+"|"+rfcRaw+"|END")
		for i, name := range []string{"a-binary", "a"} { // which are no such fields
			id := uint32(3 + 2*i)
			w.client.head(id, true, with(rfcGet, name+"=\x00")...)
			w.settle()
			w.client.wantStream(id, "RST PROTOCOL_ERROR")
		}
	})
}

// TestBinaryMetadataIsAgreed: one side alone can't have it, nor one that has
// taken it back.
func TestBinaryMetadataIsAgreed(t *testing.T) {
	none := http2.Setting{ID: binaryMetadata.ID}
	for name, said := range map[string]struct{ client, server []http2.Setting }{
		"nobody": {},
		"client": {client: []http2.Setting{binaryMetadata}},
		"server": {server: []http2.Setting{binaryMetadata}},
		"no":     {[]http2.Setting{binaryMetadata}, []http2.Setting{binaryMetadata, none}},
	} {
		for part, send := range map[string]func(w *rfcJoin) (*rfcPeer, uint32){
			"request": func(w *rfcJoin) (*rfcPeer, uint32) {
				w.client.head(1, true, with(rfcGet, rfcRaw)...)
				return w.client, 1
			},
			"response": func(w *rfcJoin) (*rfcPeer, uint32) {
				w.client.head(1, true, rfcGet...)
				w.settle()
				w.server.head(1, true, ":status=200", rfcRaw)
				return w.server, 1
			},
			"trailers": func(w *rfcJoin) (*rfcPeer, uint32) {
				w.client.head(1, false, rfcPost...)
				w.settle()
				w.client.head(1, true, rfcRaw)
				return w.client, 1
			},
		} {
			t.Run(name+"/"+part, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newJoin(t, nil)
					defer w.finish()
					w.server.settings(said.server...)
					w.client.preface(said.client...)
					w.settle()
					who, id := send(w)
					w.settle()
					if s := who.stream(id); !strings.HasSuffix(s, "RST PROTOCOL_ERROR") {
						t.Errorf("who sent it received %q", s)
					}
				})
			})
		}
	}
}
