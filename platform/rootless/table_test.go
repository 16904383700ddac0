package rootless

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

func networks() map[string]Network {
	both := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	return map[string]Network{
		"both":     {Routes: both, RejectQUIC: true},
		"local":    {Routes: both, Inside: []netip.Addr{insides4()[0], insidesLocal6()[0]}, Resolvers: resolvers([]byte("nameserver 127.0.0.53\nnameserver ::1\n"))},
		"ipv4":     {Routes: both[:1], RejectQUIC: true},
		"isolated": {},
	}
}

func TestTable(t *testing.T) {
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".nft")
			got := n.table().String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}
