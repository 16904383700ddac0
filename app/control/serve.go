package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/store"
	"transom/store/wire"
)

// A Recording is what can be looked at. A store.Store is one.
type Recording interface {
	Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error]
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
	Delete(ctx context.Context, ids ...flow.ID) error
}

// About says what a recording is.
type About struct {
	Store string `json:"store"` // the directory, "" if it is in memory

	Disk *store.DiskStats `json:"disk,omitempty"` // of the directory: filled in by Serve
}

// maxLooking is how many look at once; others wait.
const maxLooking = 16

// Serve answers those who connect to l, until ctx is done, and closes it.
func Serve(ctx context.Context, l net.Listener, of Recording, about About, log *slog.Logger) error {
	s := &server{of: of, about: about, room: make(chan struct{}, maxLooking)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /flows", s.flows)
	mux.HandleFunc("GET /body", s.body)
	mux.HandleFunc("GET /about", s.tell)
	mux.HandleFunc("POST /delete", s.remove)
	h := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { h.Close() })
	defer stop()
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	s.wait()
	return nil
}

type server struct {
	of    Recording
	about About
	room  chan struct{}
}

// enter waits for room, and reports whether there is some.
func (s *server) enter(ctx context.Context) bool {
	select {
	case s.room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *server) leave() { <-s.room }

// wait waits until nobody is in there.
func (s *server) wait() {
	for range cap(s.room) {
		s.room <- struct{}{}
	}
}

// flows answers with flows.
func (s *server) flows(w http.ResponseWriter, r *http.Request) {
	if !s.enter(r.Context()) {
		return
	}
	defer s.leave()
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := &answer{w: bufio.NewWriterSize(w, 64<<10)}
	q.Doubt = func(_ *flow.Flow, err error) { a.frame(doubtFrame, []byte(err.Error())) }
	q.Lacks = func(_ *flow.Flow, err error) { a.frame(lackFrame, []byte(err.Error())) }
	for f, err := range s.of.Flows(r.Context(), q) {
		switch {
		case errors.Is(err, store.ErrGone):
			a.frame(goneFrame, nil)
		case err != nil:
			a.frame(errorFrame, []byte(err.Error()))
		default:
			a.flow(f)
		}
		if a.err != nil {
			break
		}
	}
	a.frame(endFrame, nil)
	if a.err == nil {
		_ = a.w.Flush() // who is gone needs no end, and who isn't misses it
	}
}

// An answer is written frame by frame, until that fails.
type answer struct {
	w     *bufio.Writer
	err   error
	conn  *flow.Conn // the one told last
	buf   []byte
	names []uint64
}

func (a *answer) frame(kind byte, payload []byte) {
	if a.err == nil {
		a.err = writeFrame(a.w, kind, payload)
	}
}

func (a *answer) flow(f *flow.Flow) {
	named := uint64(0)
	if f.Conn != nil {
		named = 1
		if f.Conn != a.conn {
			a.told(f.Conn)
		}
	}
	a.buf = wire.AppendFlow(a.buf[:0], f, named)
	a.frame(flowFrame, a.buf)
}

// told tells of a connection. Its blobs are numbered from 1.
func (a *answer) told(c *flow.Conn) {
	a.conn, a.names = c, a.names[:0]
	for _, b := range wire.Blobs(nil, c) {
		a.frame(blobFrame, b)
		a.names = append(a.names, uint64(len(a.names)+1))
	}
	a.buf = wire.AppendConn(a.buf[:0], c, a.names)
	a.frame(connFrame, a.buf)
}

// tell says what this is.
func (s *server) tell(w http.ResponseWriter, _ *http.Request) {
	a := s.about
	if d, ok := s.of.(interface{ Stats() store.DiskStats }); ok {
		now := d.Stats()
		a.Disk = &now
	}
	_ = json.NewEncoder(w).Encode(a) // who is gone needs no answer
}

// maxDeleted is how many flows are deleted at once.
const maxDeleted = 1000

// remove deletes flows: their IDs are the request's body.
func (s *server) remove(w http.ResponseWriter, r *http.Request) {
	if !s.enter(r.Context()) {
		return
	}
	defer s.leave()
	var ids [maxDeleted]flow.ID
	n := 0
	for ; n < len(ids); n++ {
		if _, err := io.ReadFull(r.Body, ids[n][:]); err == io.EOF {
			break
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	err := s.of.Delete(r.Context(), ids[:n]...)
	if d, ok := s.of.(interface{ Sync(context.Context) error }); ok && err == nil {
		err = d.Sync(r.Context()) // or they are there again at the next start
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// The forms of a query and a reference in a URL.

func formOf(q *store.Query, caseSensitive bool) url.Values {
	v := url.Values{}
	if q.Filter != nil {
		v.Set("filter", q.Filter.String())
	}
	if caseSensitive {
		v.Set("case", "sensitive")
	}
	if q.Descending {
		v.Set("descending", "yes")
	}
	v.Set("by", strconv.Itoa(int(q.By)))
	v.Set("after", q.After.String())
	v.Set("limit", strconv.Itoa(q.Limit))
	return v
}

func parseQuery(v url.Values) (q store.Query, err error) {
	if text := v.Get("filter"); text != "" {
		if q.Filter, err = filter.Parse(text, filter.Options{CaseSensitive: v.Get("case") == "sensitive"}); err != nil {
			return q, err
		}
	}
	q.Descending = v.Get("descending") == "yes"
	by, err := strconv.ParseUint(v.Get("by"), 10, 8)
	if err != nil {
		return q, err
	}
	if q.By = store.Order(by); q.By > store.ByHost {
		return q, fmt.Errorf("order %d is not known", by)
	}
	if q.After, err = flow.ParseID(v.Get("after")); err != nil {
		return q, err
	}
	q.Limit, err = strconv.Atoi(v.Get("limit"))
	return q, err
}

func formOfRef(ref flow.BodyRef) url.Values {
	v := url.Values{}
	for name, n := range map[string]int64{"size": ref.Size, "kept": ref.Kept, "offset": ref.Offset} {
		v.Set(name, strconv.FormatInt(n, 10))
	}
	v.Set("segment", strconv.FormatUint(ref.Segment, 10))
	return v
}

func parseRef(v url.Values) (ref flow.BodyRef, err error) {
	for name, n := range map[string]*int64{"size": &ref.Size, "kept": &ref.Kept, "offset": &ref.Offset} {
		if *n, err = strconv.ParseInt(v.Get(name), 10, 64); err != nil {
			return ref, err
		}
	}
	ref.Truncated = ref.Kept < ref.Size
	ref.Segment, err = strconv.ParseUint(v.Get("segment"), 10, 64)
	return ref, err
}
