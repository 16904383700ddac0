package owner

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"transom/flow"
)

// What goes over the pair: questions, up to batchMost in one message, and an answer to
// each, in any order and each in a message. Numbers are big-endian.
//
//	question  network 1, zero 1, ports of client and server 2 each, zone 16,
//	          addresses of client and server 16 each, IPv4 ones mapped
//	answer    index of the question 2, what is known 1, zero 1, pid 4, uid 4,
//	          then name, path, user and cgroup, each with its length before it, 2
const (
	questionSize = 1 + 1 + 2 + 2 + zoneSize + 16 + 16
	zoneSize     = 16 // IFNAMSIZ: a name is shorter
	answerHead   = 2 + 1 + 1 + 4 + 4
	textMost     = 4096
	answerMost   = answerHead + 4*(2+textMost)
)

// What is known.
const (
	known  = 1 << iota // whose socket it is
	behind             // there was no time to look for the process
)

var errWire = errors.New("a message that nobody honest sends")

// append appends q to b, which is a sequence of such.
func (q *question) append(b []byte) []byte {
	network := byte(6)
	if q.udp {
		network = 17
	}
	b = append(b, network, 0)
	b = binary.BigEndian.AppendUint16(b, q.client.Port())
	b = binary.BigEndian.AppendUint16(b, q.dst.Port())
	var zone [zoneSize]byte
	copy(zone[:zoneSize-1], q.client.Addr().Zone())
	b = append(b, zone[:]...)
	for _, a := range [...]netip.Addr{q.client.Addr(), q.dst.Addr()} {
		as := a.As16()
		b = append(b, as[:]...)
	}
	return b
}

// parseQuestions reads a sequence of questions.
func parseQuestions(b []byte) ([]question, error) {
	if len(b)%questionSize != 0 || len(b) > batchMost*questionSize {
		return nil, errWire
	}
	qs := make([]question, 0, len(b)/questionSize)
	for ; len(b) > 0; b = b[questionSize:] {
		if b[0] != 6 && b[0] != 17 || b[1] != 0 {
			return nil, errWire
		}
		zone, rest, _ := strings.Cut(string(b[6:6+zoneSize]), "\x00")
		at := func(from int) netip.Addr { return netip.AddrFrom16([16]byte(b[from : from+16])).Unmap() }
		client, dst := at(6+zoneSize), at(6+zoneSize+16)
		if client.Is4() != dst.Is4() || strings.Trim(rest, "\x00") != "" || len(zone) == zoneSize || zone != "" && client.Is4() {
			return nil, errWire
		}
		qs = append(qs, question{
			udp:    b[0] == 17,
			client: netip.AddrPortFrom(client.WithZone(zone), binary.BigEndian.Uint16(b[2:])),
			dst:    netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[4:])),
		})
	}
	return qs, nil
}

// An answer is a question's.
type answer struct {
	index   uint16
	known   byte
	process flow.Process // without Container and Unit, which follow from Cgroup
}

func (a *answer) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, a.index)
	b = append(b, a.known, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(a.process.PID))
	b = binary.BigEndian.AppendUint32(b, uint32(a.process.UID))
	for _, s := range [...]string{a.process.Name, a.process.Path, a.process.User, a.process.Cgroup} {
		s = s[:min(len(s), textMost)]
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	return b
}

func parseAnswer(b []byte) (a answer, err error) {
	if len(b) < answerHead || b[2]&^(known|behind) != 0 || b[3] != 0 {
		return a, errWire
	}
	a.index, a.known = binary.BigEndian.Uint16(b), b[2]
	a.process.PID, a.process.UID = int(binary.BigEndian.Uint32(b[4:])), int(binary.BigEndian.Uint32(b[8:]))
	b = b[answerHead:]
	for _, to := range [...]*string{&a.process.Name, &a.process.Path, &a.process.User, &a.process.Cgroup} {
		if len(b) < 2 {
			return a, errWire
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > textMost || n > len(b) {
			return a, errWire
		}
		*to, b = string(b[:n]), b[n:]
	}
	if len(b) != 0 {
		return a, errWire
	}
	return a, nil
}
