package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// OutputOptions say where flows are written, and how.
type OutputOptions struct {
	Name Name
	// Open opens a file of that name, for appending.
	Open func(name string) (io.WriteCloser, error)
	// Format returns what writes flows. If it has a method Onto(io.Writer) it goes on with
	// that in the next file, else each file gets one of its own.
	Format func(io.Writer) (export.Writer, error)
	// TakesBack says that what Format returns takes back what can't be written, if it has
	// a file that can seek and is not compressed, and is given that itself.
	TakesBack bool
	// Takes reports whether a flow would be written; nil is for all. What would not be is
	// not counted as lost.
	Takes  func(context.Context, *flow.Flow) bool
	Option string       // what the person calls it, for messages
	Log    *slog.Logger // is told of what fails, and when it works again
	Now    func() time.Time
}

// An Output is a file, or one after the other, into which flows are written. Each flow is
// in it when Write has returned. It is used by one goroutine.
//
// What can't be written, to a full disk, say, waits; until it could be nothing else is
// taken, so that a file never has half a flow in its middle, and what is not taken is
// counted. With TakesBack nothing waits: the file is whole at any time. Such an episode is
// logged as it begins and ends.
type Output struct {
	o       OutputOptions
	name    string
	file    io.WriteCloser
	comp    compressor
	writer  export.Writer
	pending []byte // could not be written
	begun   int64  // of what waits, how much had been written before
	err     error  // why
	direct  bool   // writer has the file itself
	wrote   bool   // and has written to it

	failing bool
	lost    int // flows, in this episode
	all     int // flows, since the start
}

// NewOutput opens the first file.
func NewOutput(o OutputOptions) (*Output, error) {
	out := &Output{o: o}
	return out, out.open(o.Name.At(o.Now()))
}

// open begins a file.
func (o *Output) open(name string) error {
	file, err := o.o.Open(name)
	if err != nil {
		return err
	}
	o.name, o.file = name, file
	if err := o.format(); err != nil {
		o.file = nil
		return errors.Join(err, file.Close())
	}
	return nil
}

// format has flows go to the file.
func (o *Output) format() (err error) {
	var f rewinder
	if f, o.direct = o.file.(rewinder); o.direct && o.o.TakesBack && !Compressed(o.name) {
		o.comp = plain{io.Discard}
		o.writer, err = o.o.Format(itself{f, o})
		return err
	}
	o.direct = false
	if o.comp, err = compress(below{o}, o.name); err != nil {
		return err
	}
	if goesOn, ok := o.writer.(interface{ Onto(io.Writer) }); ok {
		goesOn.Onto(o.comp)
		return nil
	}
	o.writer, err = o.o.Format(o.comp)
	return err
}

// Write adds a flow that has ended. Its only error is of a reader who has left, since
// nobody comes back to a pipe: what else fails is logged.
func (o *Output) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	if err := o.rotate(); err != nil {
		o.failed(ctx, f, err)
		return nil
	}
	if !o.drain() {
		return o.stuck(ctx, f)
	}
	o.wrote, o.begun = false, 0
	if err := o.writer.Write(ctx, f, bodies); err != nil && o.direct && o.err != nil {
		o.failed(ctx, f, o.err)
		o.err = nil
		return nil
	} else if err != nil {
		o.lose(1)
		o.o.Log.Warn("a flow can't be written, and is left out", "option", o.o.Option, "flow", f.ID, "err", err)
		return nil
	}
	if err := o.comp.Flush(); err != nil {
		return fmt.Errorf("%s %s: %w", o.o.Option, o.name, err)
	}
	return o.settle()
}

// Miss counts flows that nobody had time for.
func (o *Output) Miss(n int) {
	if n > 0 {
		o.all += n
		o.o.Log.Warn("flows came faster than they could be written, and are left out", "option", o.o.Option, "flows_lost", n)
	}
}

// rotate goes on in another file if it is time.
func (o *Output) rotate() error {
	name := o.o.Name.At(o.o.Now())
	if name == o.name && o.file != nil {
		return nil
	}
	if o.file != nil {
		if err := o.finish(); err != nil {
			o.o.Log.Warn("a file could not be finished; the next one is begun", "option", o.o.Option, "file", o.name, "err", err)
		}
	}
	return o.open(name)
}

// finish ends a file.
func (o *Output) finish() error {
	var errs []error
	if _, ok := o.writer.(interface{ Onto(io.Writer) }); !ok {
		errs = append(errs, o.writer.Close())
	}
	errs = append(errs, o.comp.Close())
	if !o.drain() {
		errs = append(errs, fmt.Errorf("the end of %s could not be written: %w", o.name, o.err), o.cutBack())
		o.pending = nil
	}
	errs = append(errs, o.file.Close())
	o.file = nil
	return errors.Join(errs...)
}

// cutBack takes back the beginning of a flow that does not fit, of a file that can: what
// is before it is whole.
func (o *Output) cutBack() error {
	f, ok := o.file.(rewinder)
	if !ok || Compressed(o.name) {
		return nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil // a pipe
	}
	return f.Truncate(end - o.begun)
}

// Close writes what is left, and says if something was lost.
func (o *Output) Close(ctx context.Context, bodies filter.Bodies) error {
	if o.file == nil {
		return o.lack()
	}
	if len(o.pending) == 0 {
		o.begun = 0
	}
	err := o.writer.Finish(ctx, bodies)
	if _, ok := o.writer.(interface{ Onto(io.Writer) }); ok {
		err = errors.Join(err, o.writer.Close())
	}
	err = errors.Join(err, o.finish())
	if errors.Is(err, syscall.EPIPE) {
		err = nil // whoever reads has seen enough
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", o.o.Option, err)
	}
	return errors.Join(err, o.lack())
}

// lack is what was lost in all.
func (o *Output) lack() error {
	if o.all == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d flows could not be written", o.o.Option, o.all)
}

// below is what the compressor writes to. It takes all, and keeps what the file does not.
type below struct{ o *Output }

func (b below) Write(p []byte) (int, error) {
	o := b.o
	if len(o.pending) > 0 {
		o.pending = append(o.pending, p...)
		return len(p), nil
	}
	n, err := o.file.Write(p)
	o.begun += int64(n)
	if err != nil {
		o.err = err
		o.pending = append(o.pending, p[n:]...)
	}
	return len(p), nil
}

// A rewinder is what a regular file can.
type rewinder interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// itself is the file, for a writer that takes back what fails.
type itself struct {
	rewinder
	o *Output
}

// Write implements io.Writer.
func (f itself) Write(p []byte) (int, error) {
	n, err := f.rewinder.Write(p)
	if err != nil {
		f.o.err = err
	}
	f.o.wrote = true
	return n, err
}

// drain writes what waits.
func (o *Output) drain() bool {
	for len(o.pending) > 0 {
		n, err := o.file.Write(o.pending)
		o.pending, o.begun = o.pending[n:], o.begun+int64(n)
		if err != nil {
			o.err = err
			return false
		}
	}
	o.pending = nil
	return true
}

// settle tells how it has gone.
func (o *Output) settle() error {
	if len(o.pending) > 0 {
		if errors.Is(o.err, syscall.EPIPE) {
			return o.err
		}
		o.episode(o.err)
		return nil
	}
	if o.failing && (o.wrote || !o.direct) {
		o.o.Log.Warn("flows can be written again", "option", o.o.Option, "file", o.name, "flows_lost", o.lost)
		o.failing, o.lost = false, 0
	}
	return nil
}

// stuck counts a flow for which there is no place.
func (o *Output) stuck(ctx context.Context, f *flow.Flow) error {
	if errors.Is(o.err, syscall.EPIPE) {
		return o.err
	}
	o.failed(ctx, f, o.err)
	return nil
}

func (o *Output) failed(ctx context.Context, f *flow.Flow, err error) {
	if o.o.Takes == nil || o.o.Takes(ctx, f) {
		o.lose(1)
	}
	o.episode(err)
}

func (o *Output) lose(n int) { o.lost, o.all = o.lost+n, o.all+n }

func (o *Output) episode(err error) {
	if !o.failing {
		o.failing = true
		o.o.Log.Warn("flows can't be written; traffic goes on, and they are lost until they can", "option", o.o.Option, "file", o.name, "err", err)
	}
}
