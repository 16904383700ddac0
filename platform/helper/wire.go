package helper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Each message is one packet of the pair, in one of two forms. Numbers are in
// network order.
//
//	request   proxy to helper   kind 1, epoch 4, id 8, state 1, address 19, peer 19
//	report    helper to proxy   kind 1, epoch 4, id 8, errno 4, refused 1, text up to 1024
//
// An address is family 1, address 16, port 2. A request is always of the same
// length; what its kind has no use for is zero. A prepare and an answering come with
// one descriptor, and so does the answer to a listen. The epoch
// tells helpers apart that followed one another: the queue of the pair survives
// them, and a request that was meant for an earlier one is dropped, because its
// sender will send it again.
const (
	requestLen = 52
	reportHead = 18
	textMax    = 1024
	reportMax  = reportHead + textMax
)

// A kind is the kind of a message.
type kind uint8

const (
	askApply   kind = 1 + iota // make the host match the state
	askListen                  // open a listener
	askPrepare                 // mark the socket that comes with it, and bind it
	askTest                    // run the self-test
	askHear                    // open a listener for datagrams
	askAnswer                  // bind the UDP socket that comes with it, and connect it to the peer
	sayPong                    // answers a ping, with its id

	sayHello  kind = 64 + iota // a helper begins
	sayAnswer                  // answers the request of that id
	sayPing
	sayLog  // id is the level
	sayLost // there will be no helper any more; the text says why
	sayEnd  // somebody wants an end of it all; the text says how that is known
)

// A state is how much of the charter's steering is in force.
type state uint8

const (
	off state = iota
	on
	draining
	refusing // as draining, but what is not captured is refused; the proxy can't ask for it
)

func (s state) String() string {
	return [...]string{"off", "on", "draining", "refusing"}[s%4]
}

// A request is what the proxy sends.
type request struct {
	kind  kind
	epoch uint32
	id    uint64
	state state
	addr  netip.AddrPort // zero is none; never v4-mapped
	peer  netip.AddrPort // likewise
}

// errBroken is wrapped by errors of messages that no honest sender makes.
var errBroken = errors.New("broken message")

// put writes r in the form of the wire.
func (r *request) put(b *[requestLen]byte) []byte {
	*b = [requestLen]byte{0: byte(r.kind), 13: byte(r.state)}
	binary.BigEndian.PutUint32(b[1:], r.epoch)
	binary.BigEndian.PutUint64(b[5:], r.id)
	putAddr(b[14:], r.addr)
	putAddr(b[33:], r.peer)
	return b[:]
}

func putAddr(b []byte, addr netip.AddrPort) {
	if ip := addr.Addr().Unmap(); ip.Is4() {
		a := ip.As4()
		b[0] = 4
		copy(b[1:], a[:])
	} else if ip.Is6() {
		a := ip.As16()
		b[0] = 6
		copy(b[1:], a[:])
	}
	binary.BigEndian.PutUint16(b[17:], addr.Port())
}

// parseRequest reads what came from the proxy. There is one form for each request:
// whatever else would be read back the same is broken.
func parseRequest(b []byte) (request, error) {
	if len(b) != requestLen {
		return request{}, fmt.Errorf("%w of %d bytes, want %d", errBroken, len(b), requestLen)
	}
	r := request{
		kind:  kind(b[0]),
		epoch: binary.BigEndian.Uint32(b[1:]),
		id:    binary.BigEndian.Uint64(b[5:]),
		state: state(b[13]),
	}
	var err error
	if r.addr, err = parseAddr(b[14:]); err != nil {
		return request{}, err
	}
	if r.peer, err = parseAddr(b[33:]); err != nil {
		return request{}, err
	}
	return r, r.check()
}

// check refuses what its kind has no use for.
func (r *request) check() error {
	switch {
	case r.kind < askApply || r.kind > sayPong:
		return fmt.Errorf("%w: kind %d is not known", errBroken, r.kind)
	case r.state > draining || r.state != off && r.kind != askApply:
		return fmt.Errorf("%w: kind %d with state %d", errBroken, r.kind, r.state)
	case r.addr != (netip.AddrPort{}) && r.kind != askListen && r.kind != askHear && r.kind != askPrepare && r.kind != askAnswer:
		return fmt.Errorf("%w: kind %d with an address", errBroken, r.kind)
	case (r.kind == askListen || r.kind == askHear || r.kind == askAnswer) && !r.addr.IsValid():
		return fmt.Errorf("%w: kind %d without an address", errBroken, r.kind)
	case r.peer.IsValid() != (r.kind == askAnswer):
		return fmt.Errorf("%w: kind %d, and its peer is %s", errBroken, r.kind, r.peer)
	}
	return nil
}

func parseAddr(b []byte) (netip.AddrPort, error) {
	family, a, port := b[0], [16]byte(b[1:]), binary.BigEndian.Uint16(b[17:])
	switch {
	case family == 0 && a == [16]byte{} && port == 0:
		return netip.AddrPort{}, nil
	case family == 4 && [12]byte(a[4:]) == [12]byte{}:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), port), nil
	case family == 6:
		return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%w: an address of family %d", errBroken, family)
}

// A report is what the helper or the watch sends.
type report struct {
	kind    kind
	epoch   uint32
	id      uint64
	errno   uint32
	refused bool
	text    []byte
}

// put writes r in the form of the wire; a text that is too long is cut.
func (r *report) put(b *[reportMax]byte) []byte {
	b[0] = byte(r.kind)
	binary.BigEndian.PutUint32(b[1:], r.epoch)
	binary.BigEndian.PutUint64(b[5:], r.id)
	binary.BigEndian.PutUint32(b[13:], r.errno)
	b[17] = 0
	if r.refused {
		b[17] = 1
	}
	n := copy(b[reportHead:], r.text)
	return b[:reportHead+n]
}

// parseReport reads what came from the helper. The text is part of b.
func parseReport(b []byte) (report, error) {
	if len(b) < reportHead || len(b) > reportMax || b[17] > 1 {
		return report{}, fmt.Errorf("%w of %d bytes", errBroken, len(b))
	}
	r := report{
		kind:    kind(b[0]),
		epoch:   binary.BigEndian.Uint32(b[1:]),
		id:      binary.BigEndian.Uint64(b[5:]),
		errno:   binary.BigEndian.Uint32(b[13:]),
		refused: b[17] == 1,
		text:    b[reportHead:],
	}
	if r.kind < sayHello || r.kind > sayEnd {
		return report{}, fmt.Errorf("%w: kind %d is not known", errBroken, r.kind)
	}
	return r, nil
}
