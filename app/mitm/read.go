package mitm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"transom/app/export"
	"transom/flow"
	"transom/store"
)

// ErrHAR says that a file has no flows of mitmproxy's but a HAR document, which mitmproxy
// takes in their place.
var ErrHAR = errors.New("this is JSON, as HAR files are, and not mitmproxy's flow format")

// Read reads flows that mitmproxy, or transom, has written and puts them into to, until
// r ends. It reads every version from the first to Newest, and takes no more memory than
// a few times what the largest flow has in the file.
//
// It stops at the first thing that it can't read; what was before is in to, and the error
// has the offset.
func Read(ctx context.Context, r io.Reader, to export.Sink) error {
	in := input{r: bufio.NewReaderSize(r, 64<<10)}
	if head, _ := in.r.Peek(4); len(head) > 0 && (head[0] == '{' || string(head) == "\xef\xbb\xbf{") {
		return ErrHAR
	}
	rd := reader{ctx: ctx, to: to}
	for {
		begin := in.at
		v, inside, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := check(v, inside, 0); err != nil {
			return err
		}
		if err := rd.flow(v); err != nil {
			return fmt.Errorf("flow at offset %d: %w", begin, err)
		}
	}
}

// An input is what is read from, flow by flow.
type input struct {
	r   *bufio.Reader
	at  int64
	buf []byte
}

// next returns the next dict, valid until it is called again, and where its payload
// begins. It returns io.EOF where the file ends between two.
func (in *input) next() (v value, inside int64, err error) {
	n, err := in.length()
	if err != nil {
		return v, 0, err
	}
	inside = in.at
	if err := in.payload(n); err != nil {
		return v, 0, in.short(err)
	}
	tag, err := in.r.ReadByte()
	if err != nil {
		return v, 0, in.short(err)
	}
	in.at++
	if tag != tagDict {
		return v, 0, &flaw{in.at - 1, fmt.Sprintf("want a flow, which ends in %q, found %q", tagDict, tag)}
	}
	return value{tag: tag, b: in.buf}, inside, nil
}

func (in *input) length() (n int64, err error) {
	begin := in.at
	var digits [maxLengthDigits + 2]byte
	for i := range digits {
		c, err := in.r.ReadByte()
		if err == io.EOF && i == 0 {
			return 0, io.EOF
		}
		if err != nil {
			return 0, in.short(err)
		}
		in.at++
		digits[i] = c
		if c < '0' || c > '9' {
			break
		}
	}
	n, _, err = length(digits[:])
	if err != nil {
		return 0, &flaw{begin, err.Error()}
	}
	return n, nil
}

// payload reads n octets into buf, and takes memory only for what comes.
func (in *input) payload(n int64) error {
	const step = 256 << 10
	in.buf = in.buf[:0]
	if cap(in.buf) > maxKept {
		in.buf = nil
	}
	for left := n; left > 0; {
		chunk := int(min(left, int64(max(step, len(in.buf)))))
		in.buf = slices.Grow(in.buf, chunk)
		m, err := io.ReadFull(in.r, in.buf[len(in.buf):len(in.buf)+chunk])
		in.buf = in.buf[:len(in.buf)+m]
		in.at += int64(m)
		left -= int64(m)
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *input) short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &flaw{in.at, "the file ends in the middle of a flow"}
	}
	return fmt.Errorf("offset %d: %w", in.at, err)
}

// A reader makes flows of dicts.
type reader struct {
	ctx    context.Context
	to     export.Sink
	conns  connReader
	bodies []store.BodyWriter // of the flow that is being read
	log    []byte

	handshakes map[string]*flow.Flow // by mitmproxy's ID; of files below version 12
}

// flow reads one dict, and puts the flow or two that it is.
func (r *reader) flow(v value) error {
	if err := known(v); err != nil {
		return err
	}
	defer r.done()
	var m flowMeta
	if text := v.get("metadata").get(metaFlow); !text.null() {
		if json.Unmarshal(text.bytes(), &m) != nil {
			m = flowMeta{} // somebody else's
		}
	}
	f := r.common(v, &m)
	switch kind := v.get("type").text(); kind {
	case "http":
		return r.http(v, f, &m)
	case "websocket":
		return r.oldWebSocket(v, f)
	case "tcp", "udp":
		return r.stream(v, f, &m, kind)
	case "dns":
		return r.dns(v, f, &m)
	default:
		return fmt.Errorf("flows of type %q are not known", kind)
	}
}

// done closes the bodies of a flow that was put.
func (r *reader) done() {
	for _, b := range r.bodies {
		b.Close()
	}
	r.bodies = r.bodies[:0]
	if cap(r.log) > maxKept {
		r.log = nil
	}
}

func (r *reader) put(f *flow.Flow) error { return r.to.Put(r.ctx, f) }

// known refuses what is newer than we are, and what is no flow.
func known(v value) error {
	version := v.get("version")
	switch n := version.int(); {
	case version.tag == tagList: // of mitmproxy below 4: its own version
		return nil
	case version.tag != tagInt || n < 1:
		return errors.New("it has no version: this is not a flow of mitmproxy's")
	case n > Newest:
		return fmt.Errorf("format %d is newer than %d, which is the newest that is known here: write it with mitmproxy 11 or 12, or update transom", n, Newest)
	}
	return nil
}

// common reads what all flows have.
func (r *reader) common(v value, m *flowMeta) *flow.Flow {
	f := &flow.Flow{Rev: m.Rev, Conn: r.conns.conn(v), State: flow.Done, Tags: untexts(m.Tags)}
	f.Start = first(v.get("timestamp_created"), v.get("request").get("timestamp_start", "timestamp"), v.get("client_conn").get("timestamp_start"))
	if m.Start != 0 {
		f.Start = time.Unix(0, m.Start)
	}
	f.ID = idOf(v.get("id"), f.Start)
	if e := v.get("error"); !e.null() {
		f.State, f.Err, f.End = flow.Failed, e.get("msg").text(), e.get("timestamp").time()
	}
	if m.State != nil && *m.State <= flow.Failed {
		f.State = *m.State
	}
	if m.End != 0 {
		f.End = time.Unix(0, m.End)
	}
	if mark := tagOf(v.get("marked")); mark != "" && !slices.Contains(f.Tags, mark) {
		f.Tags = append(f.Tags, mark)
	}
	return f
}

// tagOf is what a marker becomes, "" if there is none.
func tagOf(mark value) string {
	if mark.bool() {
		return "marked"
	}
	return mark.text()
}

// commented stands before a comment, in notes.
const commented = "comment: "

// first returns the first moment that there is.
func first(vs ...value) (t time.Time) {
	for _, v := range vs {
		if t = v.time(); !t.IsZero() {
			break
		}
	}
	return t
}

// notes returns the oddities of a flow, and what somebody has written to it.
func notes(v value, ours []text) []string {
	all := untexts(ours)
	if c := v.get("comment").text(); c != "" {
		all = append(all, commented+c)
	}
	if c := v.get("is_replay").text(); c != "" {
		all = append(all, "replayed: "+c)
	}
	return all
}

// body keeps a body. m is what is not in the file of it.
func (r *reader) body(v value, m *bodyMeta) (ref flow.BodyRef) {
	if p := v.bytes(); len(p) > 0 {
		w := r.to.NewBody()
		r.bodies = append(r.bodies, w)
		_, _ = w.Write(p) // which never fails
		ref = w.Ref()
	}
	if m != nil && m.Size >= ref.Size {
		ref.Size, ref.Truncated = m.Size, true
	}
	return ref
}
