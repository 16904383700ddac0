package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"transom/app/export"
	"transom/app/files"
	"transom/flow"
	"transom/store"
)

// A flowFile is a recording that is read from its beginning each time: what was read last
// is in memory, however much there is.
type flowFile struct {
	*store.Memory // what is being read
	name          string
	stdin         io.Reader // if that is what is read, and it has not been
}

// What of a file is held in memory.
const (
	fileFlow = 128 << 20
	fileBody = 100 << 20
)

// openFlowFile makes sure that the file can be read. - is stdin, which is read once.
func openFlowFile(name string, stdin io.Reader) (*flowFile, error) {
	r := &flowFile{Memory: store.NewMemory(store.MemoryOptions{MaxBytes: fileFlow, BodyLimit: fileBody}), name: name}
	if name == "-" {
		r.name, r.stdin = "stdin", stdin
		return r, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("-r: %w", err)
	}
	return r, f.Close()
}

// load reads the file.
func (r *flowFile) load(ctx context.Context, to export.Sink) error {
	if in := r.stdin; in != nil {
		r.stdin = strings.NewReader("")
		return files.Read(ctx, in, r.name, to)
	}
	f, err := os.Open(r.name)
	if err != nil {
		return err
	}
	defer f.Close()
	return files.Read(ctx, f, r.name, to)
}

// errEnough ends reading.
var errEnough = errors.New("enough was read")

// Flows yields flows in the order of the file, and what is wrong with it, if
// something is, after all that could be read.
func (r *flowFile) Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		if q.By != store.ByTime || q.Descending {
			yield(nil, fmt.Errorf("%s: a file is read in its order: import it with transom flows import, to have it sorted", r.name))
			return
		}
		s := &passing{Memory: r.Memory, yield: yield, q: q, waits: !q.After.IsZero()}
		err := r.load(ctx, s)
		switch {
		case s.over:
		case err != nil:
			yield(nil, err)
		case s.waits:
			yield(nil, fmt.Errorf("%s: flow %s: %w", r.name, q.After, store.ErrGone))
		}
	}
}

// A passing store yields the flows that are put into it, and forgets them when there is
// no room.
type passing struct {
	*store.Memory
	yield func(*flow.Flow, error) bool
	q     store.Query
	waits bool // for the flow behind which to begin
	found int
	over  bool // nothing more is wanted
}

// Put implements export.Sink.
func (s *passing) Put(ctx context.Context, f *flow.Flow) error {
	if s.waits {
		s.waits = f.ID != s.q.After
		return nil
	}
	if err := s.Memory.Put(ctx, f); err != nil {
		return fmt.Errorf("flow %s: %w", f.ID, err)
	}
	if s.q.Selects(ctx, f, s.Memory) {
		s.found++
		s.over = !s.yield(f, nil) || s.found == s.q.Limit
	}
	if s.over {
		return errEnough
	}
	return nil
}
