package dns_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"transom/internal/proto/dns"
)

// FuzzParse holds what is read to what somebody else reads: whatever that takes is
// taken, with the same names and as many records.
func FuzzParse(f *testing.F) {
	f.Add(all(f))
	f.Add(message(1, 0, 0, "\x04shop\x07example\x00\x00\x01\x00\x01"))
	f.Add(message(1, 1, 1, "\x04shop\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, rest, err := dns.Parse(p)
		var judge dnsmessage.Message
		if err != nil {
			if judge.Unpack(p) == nil {
				t.Fatalf("refused: %v; but it is %s", err, judge.GoString())
			}
			return
		}
		if !bytes.Equal(m.Raw, p) {
			t.Error("raw is not what came")
		}
		if judge.Unpack(p) != nil {
			return
		}
		if len(judge.Questions) != len(m.Questions) || len(judge.Answers) != len(m.Answers) {
			t.Fatalf("read %d questions and %d answers of %d and %d", len(m.Questions), len(m.Answers), len(judge.Questions), len(judge.Answers))
		}
		for i, q := range judge.Questions {
			if want := q.Name.String(); !strings.ContainsAny(m.Questions[i].Name, `\`) && strings.TrimSuffix(want, ".") != strings.TrimSuffix(m.Questions[i].Name, ".") {
				t.Errorf("name %q, want %q", m.Questions[i].Name, want)
			}
		}
		_ = rest
	})
}

// FuzzStream cuts a stream at another place and finds the same messages.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\x00\x02hi\x00\x00\x00\x03abc"), 3)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		at = min(max(at, 0), len(p))
		var whole, cut [][]byte
		var a, b dns.Stream
		a.Cut(p, func(m []byte) { whole = append(whole, bytes.Clone(m)) })
		keep := func(m []byte) { cut = append(cut, bytes.Clone(m)) }
		b.Cut(p[:at], keep)
		b.Cut(p[at:], keep)
		if !bytes.Equal(bytes.Join(whole, []byte("|")), bytes.Join(cut, []byte("|"))) || !bytes.Equal(a.Rest(), b.Rest()) {
			t.Errorf("%q and %q", whole, cut)
		}
	})
}
