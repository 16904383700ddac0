package pf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// What is said between a process that may not ask pf and the one that may:
//
//	question  family 1  client 16+2  number of its interface 2  local 16+2  number 2
//	answer    kind 1  destination 16+2  number 2  length of a text 2  text
//
// An interface goes by its number, 0 for none. The answers come in the order of
// the questions. Numbers are in network byte order.
const (
	questionSize = 1 + 2*endSize
	endSize      = 16 + 2 + 2
	headSize     = 1 + endSize + 2
	maxText      = 1024
)

// Kinds of answers.
const (
	sayFound   = 1
	sayNoState = 2
	sayError   = 3
)

// putEnd writes an address.
func putEnd(b []byte, a netip.AddrPort) error {
	zone, err := uint16(0), error(nil)
	if a.Addr().Zone() != "" {
		if zone, err = number(a.Addr().Zone()); err != nil {
			return fmt.Errorf("interface of %s: %w", a, err)
		}
	}
	ip := a.Addr().As16()
	copy(b, ip[:])
	binary.BigEndian.PutUint16(b[16:], a.Port())
	binary.BigEndian.PutUint16(b[18:], zone)
	return nil
}

// end reads an address.
func end(b []byte) netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(b)).Unmap()
	if zone := binary.BigEndian.Uint16(b[18:]); zone != 0 && ip.Is6() {
		ip = ip.WithZone(zoneName(zone))
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[16:]))
}

func writeQuestion(w io.Writer, client, local netip.AddrPort) error {
	var b [questionSize]byte
	b[0] = 1
	if err := errors.Join(putEnd(b[1:], client), putEnd(b[1+endSize:], local)); err != nil {
		return err
	}
	_, err := w.Write(b[:])
	return err
}

func readQuestion(r io.Reader) (client, local netip.AddrPort, err error) {
	var b [questionSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return client, local, err
	}
	if b[0] != 1 {
		return client, local, fmt.Errorf("a question begins with %d", b[0])
	}
	return end(b[1:]), end(b[1+endSize:]), nil
}

func writeAnswer(w io.Writer, dst netip.AddrPort, failed error) error {
	kind, text := byte(sayFound), ""
	switch {
	case failed == nil:
	case errors.Is(failed, ErrNoState):
		kind, text = sayNoState, failed.Error()
	default:
		kind, text = sayError, failed.Error()
	}
	text = text[:min(len(text), maxText)]
	b := make([]byte, headSize, headSize+len(text))
	b[0] = kind
	if kind == sayFound {
		if err := putEnd(b[1:], dst); err != nil {
			return err
		}
	}
	binary.BigEndian.PutUint16(b[1+endSize:], uint16(len(text)))
	_, err := w.Write(append(b, text...))
	return err
}

// readAnswer returns what was answered in failed, and in err that there is none.
func readAnswer(r io.Reader) (dst netip.AddrPort, failed, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return dst, nil, err
	}
	n := binary.BigEndian.Uint16(head[1+endSize:])
	if n > maxText {
		return dst, nil, fmt.Errorf("an answer has a text of %d bytes", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return dst, nil, err
	}
	switch head[0] {
	case sayFound:
		return end(head[1:]), nil, nil
	case sayNoState:
		return dst, &answer{string(text), ErrNoState}, nil
	case sayError:
		return dst, &answer{string(text), nil}, nil
	}
	return dst, nil, fmt.Errorf("an answer is of kind %d", head[0])
}

// An answer is an error that another process has worded.
type answer struct {
	text string
	is   error
}

func (a *answer) Error() string { return a.text }
func (a *answer) Unwrap() error { return a.is }
