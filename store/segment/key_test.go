package segment_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"transom/store/segment"
)

const plainText = "not to be found on the disk"

// record makes a log with some records and returns its directory and where they are.
func record(t *testing.T, secret []byte) (dir string, at []segment.Position) {
	t.Helper()
	dir = t.TempDir()
	l, err := segment.Open(segment.Options{Dir: dir, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 10 {
		p, err := l.Append(segment.Record{Kind: 3, Payload: append([]byte(plainText), byte(i))})
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p...)
	}
	return dir, at
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = b
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	return out
}

func TestEncrypted(t *testing.T) {
	for name, secret := range map[string][]byte{"identity": secret(t), "passphrase": []byte("correct horse\r\n")} {
		t.Run(name, func(t *testing.T) {
			dir, at := record(t, secret)
			for file, b := range files(t, dir) {
				if bytes.Contains(b, []byte(plainText)) {
					t.Errorf("%s has the text", file)
				}
			}
			r, err := segment.OpenReader(segment.Options{Dir: dir, Secret: secret})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i, p := range at {
				rec, err := r.Read(p, nil)
				if err != nil || rec.Kind != 3 || string(rec.Payload) != plainText+string(rune(i)) {
					t.Errorf("%v: %q, %v", p, rec.Payload, err)
				}
			}
			for _, other := range [][]byte{nil, []byte("wrong"), secret[:len(secret)-3]} {
				if _, err := segment.Open(segment.Options{Dir: dir, Secret: other}); err == nil {
					t.Errorf("opened with %q", other)
				}
				if r, err := segment.OpenReader(segment.Options{Dir: dir, Secret: other}); err == nil {
					r.Close()
					t.Errorf("opened for reading with %q", other)
				}
			}
			if _, err := segment.Open(segment.Options{Dir: dir}); !errors.Is(err, segment.ErrKey) {
				t.Error(err)
			}
		})
	}
}

func TestPlainIsNotOpenedWithAKey(t *testing.T) {
	dir, _ := record(t, nil)
	if _, err := segment.Open(segment.Options{Dir: dir, Secret: []byte("a")}); !errors.Is(err, segment.ErrKey) {
		t.Error(err)
	}
}

// TestTampering changes each byte of an encrypted segment: what is read is what was
// written, or damage.
func TestTampering(t *testing.T) {
	secret := secret(t)
	dir, at := record(t, secret)
	name := filepath.Join(dir, "0000000001.seg")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		intact, damaged := readAll(t, dir, secret, at)
		if intact < len(at)-1 && damaged == 0 || intact == len(at) && damaged > 0 {
			t.Fatalf("byte %d: %d intact, %d damaged", i, intact, damaged)
		}
		if intact < len(at)-1 && i >= 64 {
			t.Fatalf("byte %d costs %d records", i, len(at)-intact)
		}
	}
}

// readAll reads what is where, and says how much of it.
func readAll(t *testing.T, dir string, secret []byte, at []segment.Position) (intact, damaged int) {
	t.Helper()
	r, err := segment.OpenReader(segment.Options{Dir: dir, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := map[segment.Position]string{}
	for i, p := range at {
		want[p] = plainText + string(rune(i))
	}
	var damage *segment.Damage
	for found, err := range r.Scan(context.Background(), segment.Position{}) {
		switch {
		case errors.As(err, &damage):
			damaged++
		case err != nil:
			t.Fatal(err)
		case string(found.Payload) != want[found.Position] || found.Kind != 3:
			t.Fatalf("%v: %q", found.Position, found.Payload)
		default:
			intact++
		}
	}
	return intact, damaged
}

// TestMovedSegment puts a segment of another log in place of one: of one under another
// data key, and of one that is not encrypted.
func TestMovedSegment(t *testing.T) {
	secret := secret(t)
	dir, at := record(t, secret)
	other, _ := record(t, secret) // under another data key
	b := files(t, other)["0000000001.seg"]
	if err := os.WriteFile(filepath.Join(dir, "0000000001.seg"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if intact, damaged := readAll(t, dir, secret, at); intact != 0 || damaged != 1 {
		t.Errorf("%d intact, %d damaged", intact, damaged)
	}
	plain, _ := record(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "0000000001.seg"), files(t, plain)["0000000001.seg"], 0o600); err != nil {
		t.Fatal(err)
	}
	if intact, damaged := readAll(t, dir, secret, at); intact != 0 || damaged != 1 {
		t.Errorf("not encrypted: %d intact, %d damaged", intact, damaged)
	}
}
