package doctor

import (
	"net/netip"
	"slices"
	"testing"
)

func TestParseListeners(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0000000000000000 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1236 1 0000000000000000 100 0 0 10 0
   3: 000080FE00000000FF005450B6A6FEFE:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1237 1 0
`
	list, inodes := parseListeners(text, 8080)
	want := []Listener{{Addr: netip.MustParseAddrPort("127.0.0.1:8080")}, {Addr: netip.MustParseAddrPort("[fe80::5054:ff:fefe:a6b6]:8080")}}
	if !slices.Equal(list, want) || !slices.Equal(inodes, []uint64{1234, 1237}) {
		t.Errorf("%v, %v; want %v", list, inodes, want)
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 1234")
	f.Fuzz(func(t *testing.T, text string) {
		for _, port := range []uint16{0, 8080} {
			list, inodes := parseListeners(text, port)
			if len(list) != len(inodes) {
				t.Error("a listener without an inode")
			}
			for _, l := range list {
				if l.Addr.Port() != port || !l.Addr.IsValid() {
					t.Errorf("%v for port %d", l.Addr, port)
				}
			}
		}
	})
}
