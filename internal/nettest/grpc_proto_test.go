package nettest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // so that client and server can compress
)

// shopSchema describes what the server echoes.
const shopSchema = `syntax = "proto3";
service shop { rpc Echo(Order) returns (Order); }
message Order {
  string tea = 1;
  sint32 cups = 2;
  repeated string notes = 3;
}
`

// TestGRPCSchema has a stock client and server compress what they say, and the proxy
// print it by its schema.
func TestGRPCSchema(t *testing.T) {
	w := newWorld(t)
	w.serveGRPC(&grpcServer{left: make(chan error, 1), pongs: newOutput()}, "h2")
	w.redirect("443")
	file := filepath.Join(t.TempDir(), "shop.proto")
	if err := os.WriteFile(file, []byte(shopSchema), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.transom("--flow-detail", "4", "--proto", file)
	c := w.dialGRPC("h2")
	ask, answer := "\x0a\x05green\x10\x03\x1a\x21"+strings.Repeat("quick", 6)+"ly!", ""
	if err := c.Invoke(w.ctx, "/shop/Echo", &ask, &answer, grpc.UseCompressor("gzip")); err != nil || answer != ask {
		t.Errorf("got %q, %v", answer, err)
	}
	c.Close()
	p.stop()
	got := p.out.String()
	for _, want := range []string{"bytes by gzip from", ", Order)\n", `tea: "green"`, "cups: -2\n", `notes: "quickquick`} {
		if n := strings.Count(got, want); n != 2 { // the question and the answer
			t.Errorf("%q is there %d times", want, n)
		}
	}
}
