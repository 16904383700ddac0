package har

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"transom/app/export"
	"transom/flow"
)

// errShape is of a document that is JSON and no HAR.
var errShape = errors.New("not a HAR file")

// Read reads a document into to, an entry at a time. What was read before an error
// stays there; the error says where in the document, as a path and in bytes, it is.
func Read(ctx context.Context, r io.Reader, to export.Sink) error {
	b := bufio.NewReader(r)
	skipped := int64(0)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" { // as Fiddler writes it
		b.Discard(3)
		skipped = 3
	}
	d := &document{ctx: ctx, Decoder: json.NewDecoder(b), skipped: skipped, to: to}
	return d.read()
}

// A document is one that is read.
type document struct {
	*json.Decoder
	ctx     context.Context
	skipped int64
	to      export.Sink
	conns   conns
	ids     map[flow.ID]int // how often each came, before those that come again got others
	found   bool            // there was a log with entries
}

// read reads all of it.
func (d *document) read() error {
	err := d.object("", func(key string) error {
		if key != "log" {
			return d.skip()
		}
		return d.object("log", func(key string) error {
			if key != "entries" {
				return d.skip()
			}
			return d.entries()
		})
	})
	if err == nil && !d.found {
		return d.fail("log.entries", fmt.Errorf("%w: there is none", errShape))
	}
	return err
}

// entries reads the array of them.
func (d *document) entries() error {
	if err := d.want("log.entries", '['); err != nil {
		return err
	}
	d.found = true
	for i := 0; d.More(); i++ {
		path := fmt.Sprintf("log.entries[%d]", i)
		if err := d.ctx.Err(); err != nil {
			return context.Cause(d.ctx)
		}
		var e jsonEntry
		begin := d.InputOffset()
		if err := d.Decode(&e); err != nil {
			return d.failIn(path, begin, err)
		}
		if err := d.put(&e); err != nil {
			return d.fail(path, err)
		}
	}
	return d.want("log.entries", ']')
}

// object reads an object. member is called with each key, to read its value.
func (d *document) object(path string, member func(key string) error) error {
	if err := d.want(path, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return d.fail(path, err)
		}
		if err := member(key.(string)); err != nil { // as all keys are
			return err
		}
	}
	return d.want(path, '}')
}

// want reads a delimiter.
func (d *document) want(path string, delim json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return d.fail(path, err)
	}
	if t != delim {
		return d.fail(path, fmt.Errorf("%w: want %s", errShape, delim))
	}
	return nil
}

// skip reads a value, and keeps nothing of it.
func (d *document) skip() error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return d.fail("", err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// fail says where an error is.
func (d *document) fail(path string, err error) error {
	return d.failIn(path, d.InputOffset(), err)
}

func (d *document) failIn(path string, at int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the file ends in the middle: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &syntax):
		at = max(at, syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		path += "." + kind.Field
	}
	if path != "" {
		path += ": "
	}
	return fmt.Errorf("HAR: at byte %d: %s%w", at+d.skipped, path, err)
}
