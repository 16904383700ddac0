// Package control lets one process look at what another one has recorded: HTTP over a
// socket of theirs, and flows as package wire writes them.
package control

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What an answer with flows is made of. A connection stands before the flows that are
// its, with what is large of it before it.
const (
	blobFrame  = 'b' // the next of the connection's blobs
	connFrame  = 'c'
	flowFrame  = 'f'
	doubtFrame = 'd' // the filter could not judge the flow that comes next
	lackFrame  = 'l' // of the flow that comes next the connection can't be read
	errorFrame = 'e' // what can't be read is not there; others may come
	goneFrame  = 'g' // store.ErrGone; nothing comes behind it
	endFrame   = '.' // all is said
)

// maxFrame bounds a frame. Heads are the largest that there is.
const maxFrame = 64 << 20

// writeFrame writes one frame.
func writeFrame(w *bufio.Writer, kind byte, payload []byte) error {
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = kind
	n := binary.PutUvarint(head[1:], uint64(len(payload)))
	if _, err := w.Write(head[:1+n]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// readFrame reads one. Memory is taken as bytes come, whatever is announced.
func readFrame(r *bufio.Reader, buf []byte) (kind byte, payload []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, cutShort(err)
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, cutShort(err)
	}
	if size > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes: is that transom?", size)
	}
	payload = buf[:0]
	for left := int(size); left > 0; {
		begin := len(payload)
		payload = append(payload, make([]byte, min(left, 64<<10))...)
		if _, err := io.ReadFull(r, payload[begin:]); err != nil {
			return 0, nil, cutShort(err)
		}
		left -= len(payload) - begin
	}
	return kind, payload, nil
}

// cutShort is what the end of a stream means within it.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
