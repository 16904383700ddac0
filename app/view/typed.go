package view

import (
	"encoding/binary"
	"io"
	"iter"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// misfit returns why b, which begins at byte at, can't be a message m, or nil.
// Fields that m lacks are no reason, unless a whole body has no others. cut says
// that there may be more than b.
func (p *printer) misfit(m protoreflect.MessageDescriptor, b []byte, at, depth int, cut bool) error {
	if depth == maxDepth {
		return faultAt(at, "%w", errDeep)
	}
	if p.ctx.Err() != nil {
		p.stopped = true
		return nil
	}
	known := len(b) == 0 || cut || depth > 0 || m.Fields().Len() == 0
	for i := 0; i < len(b); {
		num, kind, n := protowire.ConsumeTag(b[i:])
		size := 0
		if n >= 0 {
			size = protowire.ConsumeFieldValue(num, kind, b[i+n:])
		}
		if bad := min(n, size); bad < 0 {
			if cut && protowire.ParseError(bad) == io.ErrUnexpectedEOF {
				if f, rest := p.begun(m, b[i:]); f != nil {
					return p.misfit(f.Message(), rest, at+len(b)-len(rest), depth+1, true)
				}
				return nil
			}
			return faultAt(at+i, "field %d: %v", num, protowire.ParseError(bad))
		}
		if f := p.schema.field(m, num); f != nil {
			known = true
			if err := p.misfits(f, kind, b[i+n:i+n+size], at+i+n, depth); err != nil {
				return err
			}
		}
		i += n + size
	}
	if !known {
		return faultAt(at, "it has no field of %s", m.FullName())
	}
	return nil
}

// misfits is misfit of a field.
func (p *printer) misfits(f protoreflect.FieldDescriptor, kind protowire.Type, b []byte, at, depth int) error {
	want := wireType(f.Kind())
	switch {
	case kind == want && want == protowire.BytesType:
		v, n := protowire.ConsumeBytes(b)
		switch {
		case f.Message() != nil:
			return p.misfit(f.Message(), v, at+n-len(v), depth+1, false)
		case f.Kind() == protoreflect.StringKind && !utf8.Valid(v):
			return faultAt(at, "%s is a string, and this is no UTF-8", f.Name())
		}
	case kind == want && want == protowire.StartGroupType:
		v, _ := protowire.ConsumeGroup(f.Number(), b)
		return p.misfit(f.Message(), v, at, depth+1, false)
	case kind == want:
	case kind == protowire.BytesType && f.IsList() && f.Message() == nil:
		v, n := protowire.ConsumeBytes(b)
		for i := 0; i < len(v); {
			k := protowire.ConsumeFieldValue(f.Number(), want, v[i:])
			if k < 0 {
				return faultAt(at+n-len(v)+i, "%s: %v", f.Name(), protowire.ParseError(k))
			}
			i += k
		}
	default:
		return faultAt(at, "%s is %s, and this is %s", f.Name(), f.Kind(), wireNames[kind])
	}
	return nil
}

// wireNames are the wire types.
var wireNames = [...]string{"a varint", "of 64 bits", "bytes", "a group", "the end of a group", "of 32 bits"}

func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}

// typed prints a message that misfit has nothing against, in the order of its
// bytes. What the schema lacks is printed as without one.
func (p *printer) typed(m protoreflect.MessageDescriptor, b []byte) error {
	held := p.held(m, b)
	for i := 0; i < len(b) && !p.stopped; {
		num, kind, n := protowire.ConsumeTag(b[i:])
		size := 0
		if n >= 0 {
			size = protowire.ConsumeFieldValue(num, kind, b[i+n:])
		}
		if min(n, size) < 0 {
			return p.rest(m, b[i:], i)
		}
		f := p.schema.field(m, num)
		v := b[i+n : i+n+size]
		switch {
		case f == nil:
			if err := p.fields(b[i:i+n+size], i, 0); err != nil {
				p.note(Fault, err.Error())
			}
		case f.Message() != nil:
			if kind == protowire.StartGroupType {
				v, _ = protowire.ConsumeGroup(num, v)
			} else {
				v, _ = protowire.ConsumeBytes(v)
			}
			p.submessage(f.TextName(), f.Message(), v)
		case kind == protowire.BytesType && wireType(f.Kind()) != kind:
			v, _ = protowire.ConsumeBytes(v)
			p.row(f, v)
		case kind == protowire.BytesType:
			v, _ = protowire.ConsumeBytes(v)
			p.octets(f, v, held)
		default:
			p.put(Key, f.TextName())
			p.put(Plain, ": ")
			p.scalar(f, v)
			p.end()
		}
		i += n + size
	}
	return nil
}

// begun returns the message that b begins, and what there is of it, if b is the
// beginning of one.
func (p *printer) begun(m protoreflect.MessageDescriptor, b []byte) (f protoreflect.FieldDescriptor, rest []byte) {
	num, kind, n := protowire.ConsumeTag(b)
	if n < 0 || kind != protowire.BytesType {
		return nil, nil
	}
	_, k := protowire.ConsumeVarint(b[n:])
	if f = p.schema.field(m, num); k < 0 || f == nil || f.Kind() != protoreflect.MessageKind {
		return nil, nil
	}
	return f, b[n+k:]
}

// rest prints what there is of the field that a message was cut in.
func (p *printer) rest(m protoreflect.MessageDescriptor, b []byte, at int) error {
	f, rest := p.begun(m, b)
	if f == nil {
		num, kind, n := protowire.ConsumeTag(b)
		if n > 0 && kind == protowire.BytesType {
			if f = p.schema.field(m, num); f != nil && p.begins(f.TextName(), b[n:]) {
				return nil
			}
		}
		return p.fields(b, at, 0)
	}
	p.put(Key, f.TextName())
	p.put(Plain, ": {")
	p.end()
	p.indent++
	defer func() { p.indent-- }()
	return p.typed(f.Message(), rest)
}

// submessage prints a message in a message.
func (p *printer) submessage(name string, m protoreflect.MessageDescriptor, b []byte) {
	p.put(Key, name)
	if len(b) == 0 {
		p.put(Plain, ": {}")
		p.end()
		return
	}
	p.put(Plain, ": {")
	if s := momentOf(m, b); s != "" {
		p.put(Comment, "  "+s)
	}
	p.end()
	p.indent++
	_ = p.typed(m, b) // which is whole
	p.indent--
	p.put(Plain, "}")
	p.end()
}

// row prints numbers that came in one piece.
func (p *printer) row(f protoreflect.FieldDescriptor, b []byte) {
	const each = 16
	p.put(Key, f.TextName())
	p.put(Plain, ": [")
	for n := 0; len(b) > 0 && !p.stopped; n++ {
		if n > 0 {
			p.put(Plain, ", ")
		}
		if n > 0 && n%each == 0 {
			p.end()
			p.put(Plain, "  ")
		}
		k := protowire.ConsumeFieldValue(f.Number(), wireType(f.Kind()), b)
		p.scalar(f, b[:k])
		b = b[k:]
	}
	p.put(Plain, "]")
	p.end()
}

// octets prints a string, or bytes, or the message that they are.
func (p *printer) octets(f protoreflect.FieldDescriptor, v []byte, held protoreflect.MessageDescriptor) {
	switch {
	case f.Kind() == protoreflect.StringKind:
		p.pair(f.TextName(), String, strconv.Quote(string(v)))
	case held != nil && p.misfit(held, v, 0, 1, false) == nil:
		p.nested++
		p.submessage(f.TextName(), held, v)
		p.nested--
	case len(v) == 0 || IsText(v, false):
		p.pair(f.TextName(), String, strconv.Quote(string(v)))
	case len(v) <= 32:
		p.pair(f.TextName(), String, hexBytes(v))
	default:
		p.pair(f.TextName(), Comment, strconv.Itoa(len(v))+" bytes")
		p.indent++
		p.plainly(v)
		p.indent--
	}
}

// held returns what the bytes in b are, if it is Any and says so.
func (p *printer) held(m protoreflect.MessageDescriptor, b []byte) protoreflect.MessageDescriptor {
	if m.FullName() != "google.protobuf.Any" || p.nested >= maxNested {
		return nil
	}
	for num, v := range fieldsOf(b) {
		if num == 1 {
			url, _ := protowire.ConsumeBytes(v)
			return p.schema.named(string(url))
		}
	}
	return nil
}

// scalar prints a number, a truth or a word of an enumeration.
func (p *printer) scalar(f protoreflect.FieldDescriptor, b []byte) {
	var v uint64
	switch wireType(f.Kind()) {
	case protowire.Fixed32Type:
		v = uint64(binary.LittleEndian.Uint32(b))
	case protowire.Fixed64Type:
		v = binary.LittleEndian.Uint64(b)
	default:
		v, _ = protowire.ConsumeVarint(b)
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		p.put(Word, strconv.FormatBool(v != 0))
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(protoreflect.EnumNumber(int32(v))); e != nil {
			p.put(Word, string(e.Name()))
			return
		}
		p.put(Number, strconv.Itoa(int(int32(v))))
		p.put(Comment, "  not in "+string(f.Enum().FullName()))
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		p.put(Number, strconv.Itoa(int(int32(v))))
	case protoreflect.Uint32Kind:
		p.put(Number, strconv.FormatUint(uint64(uint32(v)), 10))
	case protoreflect.Sint32Kind:
		p.put(Number, strconv.FormatInt(protowire.DecodeZigZag(v&math.MaxUint32), 10))
	case protoreflect.Sint64Kind:
		p.put(Number, strconv.FormatInt(protowire.DecodeZigZag(v), 10))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		p.put(Number, strconv.FormatInt(int64(v), 10))
	case protoreflect.FloatKind:
		p.put(Number, strconv.FormatFloat(float64(math.Float32frombits(uint32(v))), 'g', -1, 32))
	case protoreflect.DoubleKind:
		p.put(Number, strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64))
	default:
		p.put(Number, strconv.FormatUint(v, 10))
	}
}

// momentOf returns which time or how long a message of protobuf's own is.
func momentOf(m protoreflect.MessageDescriptor, b []byte) string {
	name := m.FullName()
	if name != "google.protobuf.Timestamp" && name != "google.protobuf.Duration" {
		return ""
	}
	var of [3]int64 // seconds and nanoseconds, by their numbers
	for num, v := range fieldsOf(b) {
		if n, k := protowire.ConsumeVarint(v); k > 0 && num <= 2 {
			of[num] = int64(n)
		}
	}
	if name == "google.protobuf.Timestamp" {
		return time.Unix(of[1], of[2]).UTC().Format(time.RFC3339Nano)
	}
	if of[1] > math.MaxInt64/int64(time.Second) || of[1] < math.MinInt64/int64(time.Second) {
		return ""
	}
	return (time.Duration(of[1])*time.Second + time.Duration(of[2])).String()
}

// fieldsOf yields the fields of a message that is whole.
func fieldsOf(b []byte) iter.Seq2[protowire.Number, []byte] {
	return func(yield func(protowire.Number, []byte) bool) {
		for len(b) > 0 {
			num, kind, n := protowire.ConsumeTag(b)
			size := protowire.ConsumeFieldValue(num, kind, b[max(n, 0):])
			if min(n, size) < 0 || !yield(num, b[n:n+size]) {
				return
			}
			b = b[n+size:]
		}
	}
}
