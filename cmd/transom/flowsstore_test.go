package main

import (
	"strings"
	"testing"
)

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
