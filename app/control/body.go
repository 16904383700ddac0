package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"transom/flow"
	"transom/store"
)

// body answers with a body, or a range of it.
func (s *server) body(w http.ResponseWriter, r *http.Request) {
	if !s.enter(r.Context()) {
		return
	}
	defer s.leave()
	ref, err := parseRef(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := s.of.OpenBody(r.Context(), ref)
	if err != nil {
		refuse(w, err)
		return
	}
	defer body.Close()
	if err := readable(body, r.Header.Get("Range")); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, body)
}

// readable fails if nothing can be read of a body where the range that is asked for
// begins, while that can still be said.
func readable(body io.ReadSeeker, span string) error {
	var from int64
	if text, ok := strings.CutSuffix(strings.TrimPrefix(span, "bytes="), "-"); ok {
		from, _ = strconv.ParseInt(text, 10, 64) // 0 will do where it is none
	}
	if _, err := body.Seek(max(from, 0), io.SeekStart); err != nil {
		return err
	}
	if _, err := body.Read(make([]byte, 1)); err != io.EOF {
		return err
	}
	return nil
}

// refuse says why a body can't be read.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if errors.Is(err, store.ErrGone) {
		code = http.StatusGone
	}
	http.Error(w, err.Error(), code)
}

// OpenBody opens a body as store.Store does.
func (c *Client) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	b := &body{ctx: ctx, c: c, query: formOfRef(ref).Encode(), size: ref.Kept}
	if err := b.open(); err != nil {
		return nil, err
	}
	return b, nil
}

// A body is asked for from where it is read.
type body struct {
	ctx   context.Context
	c     *Client
	query string
	size  int64
	at    int64
	from  io.ReadCloser // nil: is to be asked for
}

func (b *body) open() error {
	res, err := b.c.get(b.ctx, "/body", b.query, fmt.Sprintf("bytes=%d-", b.at))
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		res.Body.Close()
		b.from = http.NoBody // there is no more, now
		return nil
	}
	b.from = res.Body
	return nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.from == nil {
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.from.Read(p)
	b.at += int64(n)
	if err == io.EOF {
		b.from.Close()
		b.from = nil // more may have come when it is asked for again
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.why(err)
	}
	return n, err
}

// why returns the reason that an answer broke off for: whoever asks for the rest is told.
func (b *body) why(broke error) error {
	if err := b.Close(); err != nil {
		return broke
	}
	if err := b.open(); err != nil {
		return err
	}
	return broke
}

// Seek implements io.Seeker.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in body: %d is before its start", offset)
	}
	if offset != b.at {
		b.at = offset
		return offset, b.Close()
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.from == nil {
		return nil
	}
	err := b.from.Close()
	b.from = nil
	return err
}
