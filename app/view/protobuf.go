package view

import (
	"bytes"
	"encoding/binary"
	"math"
	"mime"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const maxGuess = 16 // messages in messages that may be guesses

// protobuf prints a message, or several with a length before each.
func protobuf(p *printer, body []byte) error {
	m := p.schema.message(p.about)
	if _, params, err := mime.ParseMediaType(p.about.Type); err == nil && params["encoding"] == "delimited" {
		return p.delimiteds(m, body)
	}
	return p.fitting(m, body, true)
}

// fitting prints a message as one of m, or without a schema if m is nil or does
// not fit. Without it is not known what a number or a string of bytes means, so
// it is a guess; numbers are shown in each way that is likely. named says to begin
// with the name of m.
func (p *printer) fitting(m protoreflect.MessageDescriptor, body []byte, named bool) error {
	if m != nil {
		err := p.misfit(m, body, 0, 0, p.about.Cut)
		if err == nil {
			if named {
				p.note(Note, string(m.FullName()))
			}
			return p.typed(m, body)
		}
		p.note(Fault, "not "+string(m.FullName())+", shown without a schema: "+err.Error())
	}
	if len(body) == 0 {
		return faultAt(0, "is empty")
	}
	return p.fields(body, 0, 0)
}

// delimiteds prints messages that have their lengths before them, as Prometheus
// is given them.
func (p *printer) delimiteds(m protoreflect.MessageDescriptor, body []byte) error {
	name := ""
	if m != nil {
		name = ", " + string(m.FullName())
	}
	for i, n := 0, 1; i < len(body) && !p.stopped; n++ {
		v, size := protowire.ConsumeBytes(body[i:])
		if size < 0 {
			return faultAt(i, "message %d: %v", n, protowire.ParseError(size))
		}
		p.note(Note, "message "+strconv.Itoa(n)+", "+strconv.Itoa(len(v))+" bytes"+name)
		p.indent++
		if err := p.fitting(m, v, false); err != nil && len(v) > 0 {
			p.note(Fault, "not protobuf, shown as it is: "+err.Error())
			p.plainly(v)
		}
		p.indent--
		i += size
	}
	return nil
}

// fields prints the fields of a message that begins at byte at.
func (p *printer) fields(b []byte, at, depth int) error {
	var groups []protowire.Number
	indent := p.indent
	defer func() { p.indent = indent }()
	for i := 0; i < len(b) && !p.stopped; {
		num, kind, n := protowire.ConsumeTag(b[i:])
		if n < 0 {
			return faultAt(at+i, "no tag of a field: %v", protowire.ParseError(n))
		}
		switch kind {
		case protowire.StartGroupType:
			if len(groups) == maxDepth {
				return faultAt(at+i, "%w", errDeep)
			}
			p.field(num, "group {")
			groups = append(groups, num)
		case protowire.EndGroupType:
			if len(groups) == 0 || groups[len(groups)-1] != num {
				return faultAt(at+i, "the end of a group that is not open")
			}
			groups = groups[:len(groups)-1]
			p.indent--
			p.put(Plain, "}")
			p.end()
			i += n
			continue
		default:
			size := protowire.ConsumeFieldValue(num, kind, b[i+n:])
			if size < 0 && kind == protowire.BytesType && p.about.Cut && p.begins(strconv.Itoa(int(num)), b[i+n:]) {
				return nil
			}
			if size < 0 {
				return faultAt(at+i, "field %d: %v", num, protowire.ParseError(size))
			}
			p.value(num, kind, b[i+n:i+n+size], depth)
			n += size
		}
		i += n
		p.indent = indent + len(groups)
	}
	if len(groups) > 0 && !p.stopped && !p.about.Cut {
		return faultAt(at+len(b), "group %d has no end", groups[len(groups)-1])
	}
	return nil
}

// begins prints what there is of bytes that are cut, and reports whether b is that.
func (p *printer) begins(name string, b []byte) bool {
	size, n := protowire.ConsumeVarint(b)
	if n < 0 || size <= uint64(len(b)-n) {
		return false
	}
	v := b[n:]
	if IsText(v, true) {
		p.pair(name, String, strconv.Quote(string(v)))
		return true
	}
	p.pair(name, Comment, strconv.Itoa(len(v))+" of "+strconv.FormatUint(size, 10)+" bytes")
	p.indent++
	p.plainly(v)
	p.indent--
	return true
}

func (p *printer) field(num protowire.Number, what string) {
	p.put(Key, strconv.Itoa(int(num)))
	p.put(Plain, ": "+what)
	p.end()
	p.indent++
}

// value prints one field.
func (p *printer) value(num protowire.Number, kind protowire.Type, b []byte, depth int) {
	if kind == protowire.BytesType {
		v, _ := protowire.ConsumeBytes(b)
		p.delimited(num, v, depth)
		return
	}
	p.put(Key, strconv.Itoa(int(num)))
	p.put(Plain, ": ")
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(b)
		p.put(Number, strconv.FormatUint(v, 10))
		switch {
		case v > math.MaxInt64:
			p.put(Comment, "  signed "+strconv.FormatInt(int64(v), 10))
		case v > 1 && v <= math.MaxUint32:
			p.put(Comment, "  zigzag "+strconv.FormatInt(protowire.DecodeZigZag(v), 10))
		}
	case protowire.Fixed32Type:
		v := binary.LittleEndian.Uint32(b)
		p.put(Number, strconv.FormatUint(uint64(v), 10))
		p.put(Comment, "  fixed32, float "+strconv.FormatFloat(float64(math.Float32frombits(v)), 'g', -1, 32))
	case protowire.Fixed64Type:
		v := binary.LittleEndian.Uint64(b)
		p.put(Number, strconv.FormatUint(v, 10))
		p.put(Comment, "  fixed64, double "+strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64))
	}
	p.end()
}

// delimited prints what may be text, a message, or bytes.
func (p *printer) delimited(num protowire.Number, v []byte, depth int) {
	text := utf8.Valid(v) && bytes.IndexFunc(v, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) < 0
	switch {
	case text:
		p.pair(strconv.Itoa(int(num)), String, strconv.Quote(string(v)))
	case depth < maxGuess && isMessage(v):
		p.field(num, "{")
		if err := p.fields(v, 0, depth+1); err != nil { // groups that are too deep
			p.note(Fault, err.Error())
			p.plainly(v)
		}
		p.indent--
		p.put(Plain, "}")
		p.end()
	case len(v) <= 32:
		p.pair(strconv.Itoa(int(num)), String, hexBytes(v))
	default:
		p.field(num, strconv.Itoa(len(v))+" bytes")
		p.plainly(v)
		p.indent--
	}
}

// isMessage reports whether b reads as fields from its beginning to its end.
func isMessage(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 || num > 1<<16 || kind == protowire.EndGroupType {
			return false
		}
		size := protowire.ConsumeFieldValue(num, kind, b[n:])
		if size < 0 {
			return false
		}
		b = b[n+size:]
	}
	return true
}

// hexBytes writes bytes as 0x….
func hexBytes(v []byte) string {
	b := append(make([]byte, 0, 2+2*len(v)), "0x"...)
	for _, c := range v {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return string(b)
}
