package main

import (
	"context"
	"fmt"

	"transom/app/control"
	"transom/app/show"
	"transom/store"
)

// A directory is what stats says of one that flows are recorded in.
type directory struct {
	Bytes    int64    `json:"bytes"`
	Segments int      `json:"segments"`
	Shared   int64    `json:"shared_bytes,omitempty"` // what equal bodies save of these, as far as it was looked at
	Writer   *writing `json:"writer,omitempty"`       // whoever records there now
}

// writing is what a transom that records says: how far its index is, and what was lost
// since it began.
type writing struct {
	Failing       bool  `json:"failing"`
	Queued        int64 `json:"queued_bytes"`
	Behind        int64 `json:"index_behind_records"`
	BehindBytes   int64 `json:"index_behind_bytes"`
	Unindexed     bool  `json:"index_failed"`
	Refused       int64 `json:"lost_flows"`
	TruncatedBody int64 `json:"cut_bodies"`
	DroppedBytes  int64 `json:"lost_bytes"`
	Unsynced      int64 `json:"failed_syncs"`
	Reclaimed     int64 `json:"reclaimed_bytes"`
	Shared        int64 `json:"shared_bytes"`
}

// directoryOf returns nil of what is not one.
func directoryOf(ctx context.Context, from recording) (*directory, error) {
	switch from := from.(type) {
	case *store.DiskReader:
		s, err := from.Stats()
		return &directory{Bytes: s.Bytes, Segments: s.Segments, Shared: s.Shared}, err
	case *control.Client:
		a, err := from.About(ctx)
		if err != nil || a.Disk == nil {
			return nil, err
		}
		s := a.Disk
		return &directory{Bytes: s.Bytes, Segments: s.Segments, Writer: &writing{
			Failing: s.Failing, Queued: s.Queued, Behind: s.Behind, BehindBytes: s.BehindBytes, Unindexed: s.Unindexed,
			Refused: s.Refused, TruncatedBody: s.TruncatedBody, DroppedBytes: s.DroppedBytes, Unsynced: s.Unsynced,
			Reclaimed: s.Reclaimed, Shared: s.Shared,
		}}, nil
	}
	return nil, nil
}

// lines says it to people.
func (d *directory) lines() (lines []string) {
	lines = append(lines, fmt.Sprintf("on disk: %s in %d files", show.Size(d.Bytes), d.Segments))
	if d.Shared > 0 {
		lines = append(lines, fmt.Sprintf("large bodies that came more than once are kept once: that saves %s", show.Size(d.Shared)))
	}
	w := d.Writer
	if w == nil {
		return lines
	}
	if w.Failing {
		lines = append(lines, "nothing can be recorded at the moment: see the log")
	}
	switch {
	case w.Unindexed:
		lines = append(lines, "index: failed, so filters read all that is recorded")
	case w.Behind > 0:
		lines = append(lines, fmt.Sprintf("index: about %d records behind, %s", w.Behind, show.Size(w.BehindBytes)))
	}
	if w.Reclaimed > 0 {
		lines = append(lines, fmt.Sprintf("given back since it began to record: %s, of that %s of large bodies that there are more than once", show.Size(w.Reclaimed), show.Size(w.Shared)))
	}
	if w.Refused+w.TruncatedBody+w.Unsynced > 0 {
		lines = append(lines, fmt.Sprintf("lost since it began to record: %d flows, the ends of %d bodies, %s; %d failed syncs", w.Refused, w.TruncatedBody, show.Size(w.DroppedBytes), w.Unsynced))
	}
	return lines
}
