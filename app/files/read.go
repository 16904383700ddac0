// Package files has files of flows: which format and which compression one is in, by what
// it begins with, and how flows that pass get into one.
package files

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"transom/app/export"
	"transom/app/har"
	"transom/app/mitm"
	"transom/coding"
)

// errUnknown is of a file in none of the formats.
var errUnknown = errors.New("this is no file of flows that is known here: want mitmproxy's, as transom -w writes them, HAR, or lines of --json")

// compressions are what files begin with that are compressed, and the names of codings.
var compressions = []struct{ magic, coding string }{
	{"\x1f\x8b", "gzip"},         // RFC 1952, section 2.3.1
	{"\x28\xb5\x2f\xfd", "zstd"}, // RFC 8878, section 3.1.1
	{"\x78\x01", "deflate"},      // RFC 1950, section 2.2; .zhar is compressed so
	{"\x78\x5e", "deflate"},
	{"\x78\x9c", "deflate"},
	{"\x78\xda", "deflate"},
}

// Read puts the flows of a file into to. name is for its error. Which format it is in, and
// whether it is compressed, the file itself says.
//
// It stops at the first thing that it can't read; what was before is in to.
func Read(ctx context.Context, r io.Reader, name string, to export.Sink) error {
	in := bufio.NewReader(r)
	head, err := in.Peek(8)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, c := range compressions {
		if !bytes.HasPrefix(head, []byte(c.magic)) {
			continue
		}
		dec, err := coding.NewReader(in, c.coding)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer dec.Close()
		name, in = name+", uncompressed", bufio.NewReader(dec)
		head, _ = in.Peek(8) // what fails is met again
		break
	}
	if err := read(ctx, in, head, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func read(ctx context.Context, in *bufio.Reader, head []byte, to export.Sink) error {
	switch {
	case len(head) == 0 || head[0] >= '0' && head[0] <= '9':
		return mitm.Read(ctx, in, to)
	case bytes.HasPrefix(head, []byte(`{"type":`)):
		return export.ReadJSON(ctx, in, to)
	case head[0] == '{' || bytes.HasPrefix(head, []byte("\xef\xbb\xbf{")):
		return har.Read(ctx, in, to)
	}
	return errUnknown
}
