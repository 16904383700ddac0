package export

import (
	"bufio"
	"errors"
	"io"
)

// A Whole writes records of which none is there in part: where what is below is a
// file, a record that fails is taken back, and the next stands in its place. After
// each there may be a tail that makes the file complete and is overwritten by the
// next, so that a file is good at any time, also when nobody closes it: up to maxAtOnce
// a record and its tail are one write, and what is longer is cut only if the process is
// killed meanwhile. To a pipe records go as they are, and the tail once, at Close.
type Whole struct {
	Tail []byte

	w    *bufio.Writer
	file rewinder // nil if what is below is none
	end  int64    // of the last good record
	any  bool     // there is one
	torn error    // a record in the middle, which can't be taken back
}

const maxAtOnce = 1 << 20

// A rewinder is what a regular file can.
type rewinder interface {
	io.WriteSeeker
	Truncate(size int64) error
}

// NewWhole returns a Whole that writes to w, from where w stands.
func NewWhole(w io.Writer, tail []byte) *Whole {
	o := &Whole{Tail: tail}
	size := 64 << 10
	if f, ok := w.(rewinder); ok {
		// A pipe is an os.File, too, and can't.
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && f.Truncate(at) == nil {
			o.file, o.end = f, at
			if len(tail) > 0 {
				size = maxAtOnce
			}
		}
	}
	o.w = bufio.NewWriterSize(w, size)
	return o
}

// Record writes what write gives, as one.
func (o *Whole) Record(write func(w *bufio.Writer) error) error {
	if o.torn != nil {
		return o.torn
	}
	if o.file == nil {
		if err := errors.Join(write(o.w), o.w.Flush()); err != nil {
			o.torn = err
			return err
		}
		return nil
	}
	if _, err := o.file.Seek(o.end, io.SeekStart); err != nil {
		return err
	}
	size := &counter{w: o.file}
	o.w.Reset(size)
	err := write(o.w)
	if err == nil {
		_, err = o.w.Write(o.Tail)
	}
	if err == nil {
		err = o.w.Flush()
	}
	if err != nil {
		return o.back(err)
	}
	o.end, o.any = o.end+size.n-int64(len(o.Tail)), true
	return nil
}

// back takes a record back. The tail that it has overwritten still has its place,
// also on a full disk.
func (o *Whole) back(err error) error {
	if !o.any {
		return errors.Join(err, o.file.Truncate(o.end))
	}
	_, seek := o.file.Seek(o.end, io.SeekStart)
	if seek != nil {
		return errors.Join(err, seek)
	}
	_, tail := o.file.Write(o.Tail)
	return errors.Join(err, tail, o.file.Truncate(o.end+int64(len(o.Tail))))
}

// Close writes the tail, where it does not stand yet. It leaves what is below open.
func (o *Whole) Close() error {
	if o.torn != nil || o.file != nil {
		return nil // what tore it has been reported
	}
	_, err := o.w.Write(o.Tail)
	return errors.Join(err, o.w.Flush())
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
