package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"transom/flow"
	"transom/store"
	"transom/store/wire"
)

// A Client reads what another process has recorded, as from a store. It may be used
// by many goroutines.
type Client struct {
	// CaseSensitive is how filters were read; see filter.Options.
	CaseSensitive bool

	pid  int
	http http.Client
}

// New returns a client that connects by dial to the process pid. One that does not answer
// for some seconds is a SilentError.
func New(pid int, dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{pid: pid, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, &unreachedError{err}
			}
			return c, nil
		},
	}}}
}

// An unreachedError says why there is no connection.
type unreachedError struct{ error }

func (e *unreachedError) Unwrap() error { return e.error }

// Close ends connections that are not in use.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// get asks for a path. The caller closes the body.
func (c *Client) get(ctx context.Context, path, query, span string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://transom"+path+"?"+query, nil)
	if err != nil {
		return nil, err
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	return c.do(req)
}

// do sees to it that there is an answer, and makes errors of what is none of those that
// are expected.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	ctx, done := c.attend(req.Context())
	res, err := c.ask(req.WithContext(ctx))
	if err != nil {
		err = silent(ctx, err)
		done()
		return nil, err
	}
	res.Body = &attended{res.Body, ctx, done}
	return res, nil
}

func (c *Client) ask(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // the address is of no use to anybody
	}
	if err != nil && req.Context().Err() == nil && !errors.As(err, new(*unreachedError)) {
		err = fmt.Errorf("process %d hangs up: it answers root and the user that it runs as, as sudo has you ask; or it has just ended: %w", c.pid, err)
	}
	if err != nil {
		return nil, err
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return res, nil
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusGone {
		return nil, store.ErrGone
	}
	why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return nil, fmt.Errorf("the running transom says: %s", strings.TrimSpace(string(why)))
}

// About asks what the recording is.
func (c *Client) About(ctx context.Context) (a About, err error) {
	ctx, done := context.WithTimeoutCause(ctx, patience, &SilentError{c.pid})
	defer done()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://transom/about", nil)
	if err != nil {
		return a, err
	}
	res, err := c.ask(req)
	if err != nil {
		return a, silent(ctx, err)
	}
	defer res.Body.Close()
	return a, silent(ctx, json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&a))
}

// Delete deletes flows as store.Store does.
func (c *Client) Delete(ctx context.Context, ids ...flow.ID) error {
	for some := range slices.Chunk(ids, maxDeleted) {
		var b []byte
		for _, id := range some {
			b = append(b, id[:]...)
		}
		req, err := http.NewRequestWithContext(ctx, "POST", "http://transom/delete", bytes.NewReader(b))
		if err != nil {
			return err
		}
		res, err := c.do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
	}
	return nil
}

// Flows yields flows as store.Store does. q.Match is asked here.
func (c *Client) Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		ask, left := q, q.Limit
		if q.Match != nil {
			ask.Limit = 0
		}
		res, err := c.get(ctx, "/flows", formOf(&ask, c.CaseSensitive).Encode(), "")
		if err != nil {
			yield(nil, err)
			return
		}
		defer res.Body.Close()
		d := decoder{r: bufio.NewReaderSize(res.Body, 64<<10), doubt: q.Doubt, lacks: q.Lacks}
		for {
			f, err := d.next()
			var unread *unreadError
			switch {
			case err == io.EOF:
				return
			case errors.As(err, &unread):
				if !yield(nil, err) {
					return
				}
				continue
			case err != nil:
				yield(nil, err)
				return
			case q.Match != nil && !q.Match(f):
				continue
			case !yield(f, nil):
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// A decoder reads an answer.
type decoder struct {
	r     *bufio.Reader
	doubt func(*flow.Flow, error)
	lacks func(*flow.Flow, error)

	conn    *flow.Conn
	blobs   [][]byte
	unsure  string // of the flow that comes next
	without string // likewise
	payload []byte
}

// An unreadError says what the running transom could not read. It goes on with what comes
// behind it.
type unreadError struct{ what string }

func (e *unreadError) Error() string { return "the running transom says: " + e.what }

// next returns the next flow, io.EOF behind the last one.
func (d *decoder) next() (*flow.Flow, error) {
	for {
		kind, payload, err := readFrame(d.r, d.payload)
		if err != nil {
			return nil, err
		}
		d.payload = payload
		switch kind {
		case endFrame:
			return nil, io.EOF
		case goneFrame:
			return nil, store.ErrGone
		case errorFrame:
			return nil, &unreadError{string(payload)}
		case doubtFrame:
			d.unsure = string(payload)
		case lackFrame:
			d.without = string(payload)
		case blobFrame:
			d.blobs = append(d.blobs, append([]byte(nil), payload...))
		case connFrame:
			if d.conn, err = wire.ReadConn(payload, d.blob); err != nil {
				return nil, err
			}
			d.blobs = nil
		case flowFrame:
			return d.flow(payload)
		}
	}
}

func (d *decoder) blob(name uint64) ([]byte, error) {
	if name > uint64(len(d.blobs)) {
		return nil, fmt.Errorf("there is no blob %d", name)
	}
	return d.blobs[name-1], nil
}

func (d *decoder) flow(payload []byte) (*flow.Flow, error) {
	f, named, err := wire.ReadFlow(payload)
	if err != nil {
		return nil, err
	}
	if named != 0 {
		f.Conn = d.conn
	}
	if d.unsure != "" && d.doubt != nil {
		d.doubt(f, errors.New(d.unsure))
	}
	if d.without != "" && d.lacks != nil {
		d.lacks(f, errors.New(d.without))
	}
	d.unsure, d.without = "", ""
	return f, nil
}
