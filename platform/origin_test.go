package platform

import (
	"errors"
	"net/netip"
	"testing"

	"transom/platform/pf"
)

// An originFake says what it is told, and remembers what it was asked.
type originFake struct {
	dst           netip.AddrPort
	err           error
	client, local netip.AddrPort
	closed        int
}

func (o *originFake) Original(client, local netip.AddrPort) (netip.AddrPort, error) {
	o.client, o.local = client, local
	return o.dst, o.err
}

func (o *originFake) Close() error { o.closed++; return nil }

// TestHereBy: another is asked by a connection's ends, and what pf knows nothing of is
// a direct connection.
func TestHereBy(t *testing.T) {
	o := &originFake{}
	h, err := HereBy(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.Listen(t.Context(), Socket{Bind: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := h.Dial(t.Context(), Socket{}, netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	local := netip.MustParseAddrPort(c.LocalAddr().String())
	for name, tt := range map[string]struct {
		dst    string
		err    error
		direct bool
	}{
		"redirected":     {dst: "198.51.100.7:443"},
		"not-redirected": {dst: local.String(), direct: true},
		"no-state":       {err: pf.ErrNoState, direct: true},
		"no-answer":      {err: errors.New("no rights")},
	} {
		o.dst, o.err = netip.AddrPort{}, tt.err
		if tt.dst != "" {
			o.dst = netip.MustParseAddrPort(tt.dst)
		}
		dst, via, err := h.OriginalDst(t.Context(), c)
		switch {
		case errors.Is(err, ErrDirect) != tt.direct:
			t.Errorf("%s: %v, %v; want direct %v", name, dst, err, tt.direct)
		case tt.err != nil && !errors.Is(err, tt.err):
			t.Errorf("%s: %v", name, err)
		case !tt.direct && tt.err == nil && (err != nil || dst != o.dst || via != "redirect"):
			t.Errorf("%s: %v by %s, %v", name, dst, via, err)
		}
	}
	if o.local != local || o.client.String() != c.RemoteAddr().String() {
		t.Errorf("asked for %v to %v", o.client, o.local)
	}
	if err := h.Close(); err != nil || o.closed != 1 {
		t.Errorf("closed %d times: %v", o.closed, err)
	}
}
