package mitm_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/app/mitm"
	"transom/store"
)

// written returns the file of a scene.
func written(t testing.TB, s *scene, format int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := mitm.NewWriter(&out, mitm.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.flows {
		if err := w.Write(context.Background(), f, s.Memory); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t testing.TB, file []byte) *store.Memory {
	t.Helper()
	to := store.NewMemory(store.MemoryOptions{MaxBytes: 256 << 20})
	if err := mitm.Read(context.Background(), bytes.NewReader(file), to); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestEqual: what is written is read as it was, in every format that has it.
func TestEqual(t *testing.T) {
	s := all(t)
	var want []kept
	for _, f := range s.flows {
		want = append(want, keep(t, s.Memory, f))
	}
	for format := mitm.Oldest; format <= mitm.Newest; format++ {
		var has []kept
		for _, k := range want {
			if kind := k.Type(); (kind != "udp" || format >= 18) && (kind != "dns" || format >= 17) {
				has = append(has, k)
			}
		}
		if d := cmp.Diff(has, everything(t, read(t, written(t, s, format))), equal(0)); d != "" {
			t.Errorf("format %d: %s", format, d)
		}
	}
}
