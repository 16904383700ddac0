package tls13_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tls13"
	"transom/internal/testnet"
)

// A sealer is a client's half, for records that crypto/tls never sends.
type sealer struct {
	secret []byte
	seq    uint64
}

// sealing returns a world of which the returned function, once the handshake is
// done, gives the client's half.
func sealing(t testing.TB) (*world, func() *sealer) {
	var keys bytes.Buffer
	w := newWorld(t)
	w.cfg.KeyLog = &keys
	w.change = func(h *sniff.Hello) { h.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} }
	return w, func() *sealer {
		for line := range strings.Lines(keys.String()) {
			if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
				secret, err := hex.DecodeString(f[2])
				if err != nil {
					t.Fatal(err)
				}
				return &sealer{secret: secret}
			}
		}
		t.Fatalf("no secret in %q", &keys)
		return nil
	}
}

func (s *sealer) expand(label string, n int) []byte {
	info := fmt.Sprintf("%c%c%ctls13 %s\x00", n>>8, n, len("tls13 ")+len(label), label)
	out, err := hkdf.Expand(sha256.New, s.secret, info, n)
	if err != nil {
		panic(err)
	}
	return out
}

// record seals what stands inside a record, its type at the end.
func (s *sealer) record(inner ...byte) []byte {
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := s.expand("iv", 12)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^s.seq)
	s.seq++
	n := len(inner) + gcm.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return append(head, gcm.Seal(nil, nonce, inner, head)...)
}

func (s *sealer) update() { s.secret, s.seq = s.expand("traffic upd", 32), 0 }

func TestStreamEnds(t *testing.T) {
	cases := map[string]struct {
		end  func(c *tls.Conn)
		want error
	}{
		"close-notify":     {func(c *tls.Conn) { c.CloseWrite() }, io.EOF},
		"close-notify-fin": {func(c *tls.Conn) { c.Close() }, io.EOF},
		"fin":              {func(c *tls.Conn) { c.NetConn().Close() }, io.ErrUnexpectedEOF},
		"fin-in-record":    {func(c *tls.Conn) { c.NetConn().Write([]byte{23, 3, 3}); c.NetConn().Close() }, io.ErrUnexpectedEOF},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newWorld(t).run(t)
			p.ok(t)
			p.client.Write([]byte("last"))
			c.end(p.client)
			for range 2 {
				got, err := io.ReadAll(io.MultiReader(strings.NewReader("x"), p.ours))
				if c.want == io.EOF && err != nil || c.want != io.EOF && !errors.Is(err, c.want) {
					t.Errorf("read %q, %v, want %v", got, err, c.want)
				}
			}
		})
	}
}

func TestWeEnd(t *testing.T) {
	p := newWorld(t).run(t)
	p.ok(t)
	if err := errors.Join(p.ours.CloseWrite(), p.ours.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if n, err := p.client.Read(make([]byte, 9)); n != 0 || err != io.EOF {
		t.Errorf("client reads %d bytes, %v", n, err)
	}
	if _, err := p.ours.Write([]byte("more")); err == nil {
		t.Error("more can be written")
	}
	exchange(t, p.client, p.ours, []byte("still"))
	p.ours.Close()
	if _, err := p.ours.Read(make([]byte, 9)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("we read %v", err)
	}
}

// TestTimeoutPasses reads a record of which only a part is there, in vain, and
// then the whole.
func TestTimeoutPasses(t *testing.T) {
	w, half := sealing(t)
	p := w.run(t)
	p.ok(t)
	s := half()
	s.seq = 1 // p.ok has used one
	record := s.record('h', 'i', 23)
	for _, cut := range []int{0, 3, 5, 12} {
		p.raw.Write(record[:cut])
		p.ours.SetReadDeadline(time.Unix(1, 0))
		if _, err := p.ours.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("with %d bytes: %v", cut, err)
		}
		p.ours.SetReadDeadline(time.Time{})
		record = record[cut:]
	}
	p.raw.Write(record)
	var got [2]byte
	if _, err := io.ReadFull(p.ours, got[:]); err != nil || string(got[:]) != "hi" {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestEarlyDataIsPassedOver has a client send what we have no key for between
// its hello and its Finished.
func TestEarlyDataIsPassedOver(t *testing.T) {
	junk := func(records, size int) []byte {
		r := append([]byte{23, 3, 3, byte(size >> 8), byte(size)}, make([]byte, size)...)
		return bytes.Repeat(r, records)
	}
	cases := map[string]struct {
		early []byte
		ok    bool
	}{
		"one":      {junk(1, 100), true},
		"many":     {junk(40, 1000), true},
		"large":    {junk(15, 16000), true},
		"with-ccs": {append([]byte{20, 3, 3, 0, 1, 1}, junk(2, 100)...), true},
		"tiny":     {junk(1, 1), true},
		"too-much": {junk(20, 16000), false},
		"empty":    {junk(1, 0), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.wrap = func(conn *testnet.Conn) net.Conn { return &eager{Conn: conn, early: c.early} }
			p := w.run(t)
			if c.ok {
				p.ok(t)
				return
			}
			var op *net.OpError
			if !errors.As(p.err, &op) || op.Op != "local error" || op.Err.Error() != "alert 20" {
				t.Errorf("we have %v", p.err)
			}
		})
	}
}

// eager is a conn that sends more after the hello.
type eager struct {
	*testnet.Conn
	early []byte
}

func (e *eager) Write(p []byte) (int, error) {
	n, err := e.Conn.Write(p)
	if err == nil && e.early != nil {
		_, err = e.Conn.Write(e.early)
		e.early = nil
	}
	return n, err
}

func TestKeyUpdate(t *testing.T) {
	w, half := sealing(t)
	p := w.run(t)
	if p.err != nil || p.clientErr != nil {
		t.Fatal(p.err, p.clientErr)
	}
	s := half()
	for _, ask := range []byte{0, 1, 1} {
		p.raw.Write(s.record(24, 0, 0, 1, ask, 22))
		s.update()
		p.raw.Write(s.record('h', 'i', 23, 0, 0)) // with padding
		var got [2]byte
		if _, err := io.ReadFull(p.ours, got[:]); err != nil || string(got[:]) != "hi" {
			t.Fatalf("read %q, %v", got, err)
		}
		exchange(t, p.ours, p.client, []byte("our keys, too"))
	}
}

// TestMisbehaviour has clients send what they must not.
func TestMisbehaviour(t *testing.T) {
	seal := func(inner ...byte) func(s *sealer) []byte {
		return func(s *sealer) []byte { return s.record(inner...) }
	}
	cases := map[string]struct {
		records func(s *sealer) []byte
		want    string
	}{
		"bad-mac":              {func(s *sealer) []byte { s.seq = 9; return s.record('x', 23) }, "local error: alert 20"},
		"plain":                {func(*sealer) []byte { return []byte{22, 3, 3, 0, 1, 1} }, "local error: alert 10"},
		"plain-alert":          {func(*sealer) []byte { return []byte{21, 3, 3, 0, 2, 2, 48} }, "local error: alert 10"},
		"late-ccs":             {func(*sealer) []byte { return []byte{20, 3, 3, 0, 1, 1} }, "local error: alert 10"},
		"overlong":             {func(*sealer) []byte { return []byte{23, 3, 3, 0xff, 0xff} }, "local error: alert 22"},
		"overlong-inside":      {func(s *sealer) []byte { return s.record(append(make([]byte, 16385), 23)...) }, "local error: alert 22"},
		"no-type":              {seal(0, 0, 0), "local error: alert 10"},
		"odd-type":             {seal(1, 99), "local error: alert 10"},
		"empty-handshake":      {seal(22), "local error: alert 10"},
		"finished-again":       {seal(20, 0, 0, 0, 22), "local error: alert 10"},
		"renegotiation":        {seal(1, 0, 0, 0, 22), "local error: alert 10"},
		"update-too-long":      {seal(24, 0, 0, 2, 0, 0, 22), "local error: alert 50"},
		"update-of-nothing":    {seal(24, 0, 0, 0, 22), "local error: alert 50"},
		"update-odd":           {seal(24, 0, 0, 1, 2, 22), "local error: alert 50"},
		"update-and-more":      {seal(24, 0, 0, 1, 0, 24, 22), "local error: alert 10"},
		"data-inside-update":   {func(s *sealer) []byte { return append(s.record(24, 0, 22), s.record('x', 23)...) }, "local error: alert 10"},
		"alert-cut":            {seal(2, 21), "local error: alert 50"},
		"alert":                {seal(2, 48, 21), "remote error: alert 48"},
		"canceled-then-closed": {func(s *sealer) []byte { return append(s.record(1, 90, 21), s.record(1, 0, 21)...) }, "EOF"},
		"flood-of-nothing":     {func(s *sealer) []byte { return flood(s, 23) }, "local error: alert 10"},
		"flood-of-canceled":    {func(s *sealer) []byte { return flood(s, 1, 90, 21) }, "local error: alert 10"},
		"flood-of-updates": {func(s *sealer) (b []byte) {
			for range 20 {
				b = append(b, s.record(24, 0, 0, 1, 0, 22)...)
				s.update()
			}
			return b
		}, "local error: alert 10"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, half := sealing(t)
			p := w.run(t)
			if p.err != nil || p.clientErr != nil {
				t.Fatal(p.err, p.clientErr)
			}
			p.raw.Write(c.records(half()))
			p.raw.(*testnet.Conn).CloseWrite()
			for range 2 { // it stays so
				if _, err := p.ours.Read(make([]byte, 9)); err == nil || err.Error() != c.want {
					t.Errorf("read %v, want %s", err, c.want)
				}
			}
		})
	}
}

func flood(s *sealer, inner ...byte) (b []byte) {
	for range 20 {
		b = append(b, s.record(inner...)...)
	}
	return b
}

// TestAllocations: nothing is allocated for a record, either way.
func TestAllocations(t *testing.T) {
	w, half := sealing(t)
	p := w.run(t)
	s := half()
	const runs = 50
	var records [][]byte
	for range runs + 1 {
		records = append(records, s.record(append(make([]byte, 1000), 23)...))
	}
	buf, raw := make([]byte, 1000), make([]byte, 2000)
	if n := testing.AllocsPerRun(runs, func() {
		_, err := p.raw.Write(records[0])
		records = records[1:]
		n, readErr := p.ours.Read(buf)
		_, writeErr := p.ours.Write(buf)
		_, rawErr := p.raw.Read(raw)
		if err := errors.Join(err, readErr, writeErr, rawErr); err != nil || n != len(buf) {
			t.Error(n, err)
		}
	}); n > 2 { // the conn in memory allocates one a write
		t.Errorf("%v allocations for a record each way", n)
	}
}

// FuzzAccept is a client that sends anything at all after a good beginning.
func FuzzAccept(f *testing.F) {
	early, err := os.ReadFile("../sniff/testdata/openssl-early-data.hello")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(early, []byte{23, 3, 3, 0, 2, 1, 2, 21, 3, 3, 0, 2, 2, 48})
	f.Add(early, []byte{20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 1, 0})
	w := newWorld(f)
	f.Fuzz(func(_ *testing.T, hello, rest []byte) {
		r := sniff.Stream(hello)
		if !r.Complete || r.Err != nil {
			return
		}
		c := &script{in: append(bytes.Clone(hello), rest...)}
		if _, _, err := tls13.Accept(w.ctx, c, r.Hello, w.cfg); err == nil {
			panic("a handshake without keys")
		}
	})
}

// FuzzRecords is a client that seals anything at all.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x02hi\x17\x00"), true)
	f.Add([]byte("\x06\x18\x00\x00\x01\x01\x16\x02x\x17"), false)
	f.Add([]byte("\x03\x01\x00\x15"), true)
	f.Fuzz(func(t *testing.T, in []byte, cut bool) {
		w, half := sealing(t)
		p := w.run(t)
		s, size := half(), int64(len(in))
		var out []byte
		for len(in) > 0 {
			n := min(int(in[0]), len(in)-1)
			out = append(out, s.record(in[1:1+n]...)...)
			in = in[1+n:]
		}
		if cut {
			out = append(out, 23, 3)
		}
		var wg sync.WaitGroup
		wg.Go(func() { p.raw.Write(out); p.raw.Close() })
		n, err := io.Copy(io.Discard, p.ours)
		if n > size {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
		p.ours.Close()
		wg.Wait()
	})
}

// script is a conn on which the client's part is known beforehand.
type script struct {
	net.Conn
	in []byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) Close() error                { return nil }
