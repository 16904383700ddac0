package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"
)

// begin is a gist: of some records nothing, of others up to 7 bytes.
func begin(kind uint8, payload []byte) int { return min(int(kind%3)*7, len(payload)) }

// lines collects an outline, and what was damaged.
func lines(t testing.TB, all iter.Seq2[Line, error]) (out []string, damaged int) {
	t.Helper()
	for l, err := range all {
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			damaged++
		case err != nil:
			t.Fatal(err)
		default:
			out = append(out, fmt.Sprintf("%v %d %d %x", l.Position, l.Kind, l.Length, l.Gist))
		}
	}
	return out, damaged
}

// scanned is the outline that a Scan makes.
func scanned(t testing.TB, all iter.Seq2[At, error]) (out []string) {
	t.Helper()
	for at, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%v %d %d %x", at.Position, at.Kind, len(at.Payload), at.Payload[:begin(at.Kind, at.Payload)]))
	}
	return out
}

// TestOutline: an outline says the same as a scan, whatever was done to the log; and if
// the outline of a segment is damaged, the segment is read.
func TestOutline(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"plain": nil, "encrypted": []byte(key.String())} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir(), SegmentSize: 8 << 10, Secret: secret, Gist: begin}
			l := open(t, o)
			for i := range 200 {
				if _, err := l.Append(Record{Kind: uint8(1 + i%5), Payload: bytes.Repeat([]byte{byte(i)}, i%300)}, text(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			agree := func(l interface {
				Outline(ctx context.Context) iter.Seq2[Line, error]
				Scan(ctx context.Context, from Position) iter.Seq2[At, error]
			},
			) {
				t.Helper()
				got, damaged := lines(t, l.Outline(t.Context()))
				if want := scanned(t, l.Scan(t.Context(), Position{})); !slices.Equal(got, want) || damaged > 0 {
					t.Fatalf("%d lines, %d records, %d damaged", len(got), len(want), damaged)
				}
			}
			agree(l) // the last segment has none
			for _, s := range l.Segments() {
				if s.Sealed && s.Number%2 == 0 {
					if _, err := l.Compact(t.Context(), s.Number, func(p Position, _ uint8, _ int) bool { return p.Offset%3 > 0 }, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			agree(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := OpenReader(o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			agree(r)
			all, _ := lines(t, r.Outline(t.Context()))
			for n := uint64(1); n <= 4; n++ { // plain and compacted ones
				damageOutline(t, o, n, all)
			}
		})
	}
}

// damageOutline damages a segment, at some bytes of a record and at each of its outline.
func damageOutline(t *testing.T, o Options, number uint64, want []string) {
	t.Helper()
	files, err := Dir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	key, err := loadKey(files, o.Secret, false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHandle(files, fileName(number), number, key)
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	name := filepath.Join(o.Dir, fileName(number))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(name, good, 0o600)
	for at := h.foot.outline; at < h.foot.ends; at += 1 + (h.foot.ends-h.foot.outline)/50 {
		for _, where := range []int64{at, headerSize + frameSize + 3} {
			bad := slices.Clone(good)
			bad[where] ^= 1
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := OpenReader(o)
			if err != nil {
				t.Fatal(err)
			}
			if got, damaged := lines(t, r.Outline(t.Context())); !slices.Equal(got, want) || damaged > 0 {
				t.Errorf("byte %d of %d: %d lines of %d, %d damaged", where, len(good), len(got), len(want), damaged)
			}
			r.Close()
		}
	}
}
