package filter

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"transom/flow"
)

// A Text is something that is said of a flow in text.
type Text uint8

// Texts that operators ask for, as they search them.
const (
	URL Text = iota
	Domain
	Method
	Source
	Destination
	RequestType
	ResponseType
	Name
	SNI
	JA3
	JA4
	ProcessName
	User
	Container
	Unit
	Reason
	Protocol
	Tag
	Device
	SourceAddress
	DestinationAddress
	Asked    // by a DNS message
	Answered // likewise
	Texts    // how many there are
)

// texts is a table of the operators that search each.
var texts = [...]string{
	URL: "u", Domain: "d", Method: "m", Source: "src", Destination: "dst", RequestType: "tq", ResponseType: "ts", Name: "name", SNI: "sni",
	JA3: "ja3", JA4: "ja4", ProcessName: "process", User: "user", Container: "container", Unit: "unit", Reason: "reason", Protocol: "proto", Tag: "tag", Device: "device",
}

// A Number is something that is said of a flow in a number.
type Number uint8

// Numbers that operators ask for.
const (
	Start        Number = iota // nanoseconds since 1970
	Duration                   // nanoseconds, None of what has not ended
	Size                       // bytes to both sides
	SizeToServer               // bytes
	SizeToClient               // bytes
	Status                     // of the response
	ClientTLS                  // version
	ServerTLS                  // version
	RequestBody                // the segment of its BodyRef, None if nothing is kept of it; of messages their log's
	ResponseBody               // likewise
	Numbers                    // how many there are
)

// None is the value of a Number that a flow does not have, Unknown of one that can't
// be said in a number.
const (
	None    = math.MinInt64
	Unknown = math.MinInt64 + 1
)

// factsVersion grows when the same flow gets other facts than before.
const factsVersion = 1

// Schema says what Facts are: those of another one are not to be compared.
func Schema() string {
	text := strconv.Itoa(factsVersion)
	for _, op := range operators {
		if op.takes == nothing {
			text += " ~" + op.code
		}
	}
	return fmt.Sprint(text, " ", texts, Texts, Numbers)
}

// maxFact bounds what is said in text.
const maxFact = 4 << 10

// tooLong stands for what is longer. It is no list.
const tooLong = "\xff"

// Facts are what operators ask of a flow besides its headers and bodies. A
// Plan is about them; an index keeps them.
type Facts struct {
	Is      uint32 // a bit for each operator that takes nothing
	Numbers [Numbers]int64

	buf  []byte
	ends [Texts]int
	ops  [len(texts)]*operator // of texts, once somebody has gathered
}

// Text returns a text as a list of what is searched, in a form that Plans know. It
// is valid until the next Gather.
func (f *Facts) Text(t Text) []byte {
	from := 0
	if t > 0 {
		from = f.ends[t-1]
	}
	return f.buf[from:f.ends[t]]
}

// Gather makes f the facts of a flow.
func (f *Facts) Gather(of *flow.Flow) {
	s := subjects.Get().(*subject)
	s.Flow, s.facts = of, f
	f.Is, f.buf = 0, f.buf[:0]
	for i, op := range operators {
		if op.takes == nothing && op.is(s) {
			f.Is |= 1 << i
		}
	}
	for n := range Numbers {
		f.Numbers[n] = s.number(n)
	}
	for t := range Texts {
		from := len(f.buf)
		f.gather(s, t)
		if len(f.buf)-from > maxFact {
			f.buf = append(f.buf[:from], tooLong...)
		}
		f.ends[t] = len(f.buf)
	}
	s.reset()
	subjects.Put(s)
}

// gather appends one text. To search for nothing is to be told what is searched.
func (f *Facts) gather(s *subject, t Text) {
	switch {
	case t == SourceAddress && s.Conn != nil:
		f.address(sourceAddress(s.Conn))
	case t == DestinationAddress && s.Conn != nil:
		f.address(destinationAddress(s.Conn))
	case t == Asked && s.dns() != nil:
		f.said(s, s.dns().Query)
	case t == Answered && s.dns() != nil:
		f.said(s, s.dns().Answer)
	case int(t) < len(texts):
		if f.ops[t] == nil {
			f.ops[t] = named(texts[t])
		}
		f.ops[t].search(s, nil)
	}
}

func (f *Facts) said(s *subject, m *flow.DNSMessage) {
	if m != nil {
		addFact(f, s.said(m))
	}
}

func (f *Facts) address(a netip.Addr) {
	switch a = plain(a); {
	case a.Is4():
		b := a.As4()
		addFact(f, b[:])
	case a.Is6():
		b := a.As16()
		addFact(f, b[:])
	}
}

// plain is an address as networks have it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// addFact appends an element to the list at the end.
func addFact[T string | []byte](f *Facts, text T) bool {
	f.buf = binary.AppendUvarint(f.buf, uint64(len(text)))
	f.buf = append(f.buf, text...)
	return false
}

// First returns the first element of a list that Facts.Text has returned, "" if there
// is none.
func First(list string) string {
	first, _, _ := cut(list)
	return first
}

// cut takes the first element off a list.
func cut(list string) (first, rest string, ok bool) {
	n, used := uint64(0), 0
	for i := 0; i < len(list) && i < 3; i++ {
		n |= uint64(list[i]&0x7f) << (7 * i)
		if list[i] < 0x80 {
			used = i + 1
			break
		}
	}
	if used == 0 || n > uint64(len(list)-used) {
		return "", "", false
	}
	return list[used : used+int(n)], list[used+int(n):], true
}

// number returns one of the Numbers of s.
func (s *subject) number(n Number) int64 {
	switch n {
	case Start:
		return nanoseconds(s.Start)
	case Duration:
		if s.End.IsZero() {
			return None
		}
		return int64(s.Duration())
	case Size:
		sizes := s.Traffic()
		return sizes[0] + sizes[1]
	case SizeToServer:
		return s.Traffic()[0]
	case SizeToClient:
		return s.Traffic()[1]
	case Status:
		return some(s.status())
	case ClientTLS:
		if s.Conn != nil {
			return agreed(s.Conn.TLS())
		}
	case ServerTLS:
		if s.Conn != nil && s.Conn.Server != nil {
			return agreed(s.Conn.Server.TLS)
		}
	case RequestBody, ResponseBody:
		return s.bodyNumber(n)
	}
	return None
}

// bodyNumber returns the number of what is searched for words.
func (s *subject) bodyNumber(n Number) int64 {
	ref := flow.BodyRef{}
	switch d := s.Detail.(type) {
	case *flow.HTTP:
		if ref = d.RequestBody; n == ResponseBody {
			ref = d.ResponseBody
		}
	case *flow.Messages:
		if n == RequestBody {
			ref = d.Log
		}
	}
	switch {
	case ref.Kept == 0:
		return None
	case ref.Segment > math.MaxInt64:
		return Unknown
	}
	return int64(ref.Segment)
}

func agreed(t *flow.TLS) int64 {
	if t == nil {
		return None
	}
	return some(int(t.Version))
}

func some(n int) int64 {
	if n == 0 {
		return None
	}
	return int64(n)
}

// nanoseconds is a time as a number, if it can be one.
func nanoseconds(t time.Time) int64 {
	n := t.UnixNano()
	if !time.Unix(0, n).Equal(t) || n <= Unknown {
		return Unknown
	}
	return n
}
