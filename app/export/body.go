package export

import (
	"context"
	"fmt"
	"io"
	"strings"

	"transom/coding"
	"transom/filter"
	"transom/flow"
)

// maxCodings is how many codings are undone, one on top of the other. Servers use one.
const maxCodings = 4

// Codings returns what a message says its body is coded with, in the order it was
// done (RFC 9110, section 8.4); nothing, if that is identity.
func Codings(h flow.Header) (names []string) {
	for i := range h {
		if !flow.EqualFold(h[i].Name, "Content-Encoding") {
			continue
		}
		for name := range strings.SplitSeq(h[i].Value, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				names = append(names, name)
			}
		}
	}
	return names
}

// OpenDecoded opens a body without its content codings, which h names. The caller
// bounds what is read, since a few bytes may stand for many. Of a body that was cut
// it gives what there is, and then perhaps an error.
func OpenDecoded(ctx context.Context, bodies filter.Bodies, ref flow.BodyRef, h flow.Header) (io.ReadCloser, error) {
	names := Codings(h)
	if len(names) > maxCodings {
		return nil, fmt.Errorf("body in %d content codings: only %d are undone", len(names), maxCodings)
	}
	r, err := bodies.OpenBody(ctx, ref)
	if err != nil {
		return nil, err
	}
	d := &decoded{Reader: io.LimitReader(r, ref.Kept), open: []io.Closer{r}}
	for i := len(names) - 1; i >= 0; i-- {
		next, err := coding.NewReader(d.Reader, names[i])
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("undo content coding %q: %w", names[i], err)
		}
		d.Reader, d.open = next, append(d.open, next)
	}
	return d, nil
}

// decoded reads through decoders.
type decoded struct {
	io.Reader
	open []io.Closer
}

// Close closes all, the last that was opened first.
func (d *decoded) Close() (err error) {
	for i := len(d.open) - 1; i >= 0; i-- {
		err = d.open[i].Close()
	}
	return err
}
