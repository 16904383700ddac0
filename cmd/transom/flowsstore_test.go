package main

import (
	"errors"
	"strings"
	"testing"

	"transom/store"
)

// TestWithLosses: what was lost is one message, whatever there is to say of it.
func TestWithLosses(t *testing.T) {
	full := errors.New("3 flows could not be written to /s: the disk is full")
	for _, tc := range []struct {
		err  error
		s    store.DiskStats
		want string
	}{
		{nil, store.DiskStats{Reclaimed: 1}, ""},
		{full, store.DiskStats{}, full.Error()},
		{nil, store.DiskStats{Refused: 2, Unsynced: 1}, "not recorded in /s: 2 flows, 1 times what the system could not put on disk"},
		{full, store.DiskStats{Refused: 2, Starved: 4}, full.Error() + "; and before, not recorded: 2 flows, 4 ends of bodies"},
	} {
		got := ""
		if err := withLosses(tc.err, tc.s, "/s"); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestDirectoryLines(t *testing.T) {
	d := directory{Bytes: 5 << 20, Segments: 2, Writer: &writing{Behind: 7, BehindBytes: 2048, Refused: 3, TruncatedBody: 1, DroppedBytes: 10}}
	want := `on disk: 5.0m in 2 files
index: about 7 records behind, 2.0k
lost since it began to record: 3 flows, the ends of 1 bodies, 10b; 0 failed syncs`
	if got := strings.Join(d.lines(), "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	d.Writer = &writing{Failing: true, Unindexed: true, Behind: 7}
	if got := strings.Join(d.lines(), "\n"); !strings.Contains(got, "at the moment") || !strings.Contains(got, "index: failed") || strings.Contains(got, "behind") {
		t.Errorf("got\n%s", got)
	}
}
