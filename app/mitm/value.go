package mitm

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// A value is one tnetstring: <length>:<payload><tag>. It points into what was read,
// and what it holds is looked for when it is asked for, so that reading takes no
// memory but for the octets themselves. All of it has been through check before.
// The zero value is one that is not there.
type value struct {
	tag byte
	b   []byte // the payload
}

// Tags. Text is mitmproxy's addition.
const (
	tagBytes = ','
	tagText  = ';'
	tagInt   = '#'
	tagFloat = '^'
	tagBool  = '!'
	tagNull  = '~'
	tagList  = ']'
	tagDict  = '}'
)

const (
	maxLengthDigits = 12 // what mitmproxy reads
	maxDepth        = 64 // mitmproxy's flows are 8 deep
	maxNumber       = 64 // characters of a number
)

// A flaw is what is wrong with octets, and where.
type flaw struct {
	at   int64
	what string
}

func (f *flaw) Error() string { return fmt.Sprintf("offset %d: %s", f.at, f.what) }

var errShort = errors.New("it ends in the middle of a value")

// cut takes the first value off b. Its inside is not looked at.
func cut(b []byte) (v value, rest []byte, err error) {
	n, digits, err := length(b)
	if err != nil {
		return v, b, err
	}
	if n >= int64(len(b)-digits-1) {
		return v, b, errShort
	}
	b = b[digits+1:]
	return value{tag: b[n], b: b[:n:n]}, b[n+1:], nil
}

// length reads the number before the colon.
func length(b []byte) (n int64, digits int, err error) {
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		if digits == maxLengthDigits {
			return 0, 0, fmt.Errorf("a length has more than %d digits", maxLengthDigits)
		}
		n = n*10 + int64(b[digits]-'0')
		digits++
	}
	switch {
	case digits == len(b):
		return 0, 0, errShort
	case digits == 0 || b[digits] != ':':
		return 0, 0, fmt.Errorf("want a length and a colon, found %q", b[:min(len(b), digits+1)])
	case digits > 1 && b[0] == '0':
		return 0, 0, errors.New("a length begins with 0")
	}
	return n, digits, nil
}

// check looks at all of v, whose payload begins at offset at.
func check(v value, at int64, depth int) error {
	if depth > maxDepth {
		return &flaw{at, fmt.Sprintf("values are nested more than %d deep", maxDepth)}
	}
	var what string
	switch v.tag {
	case tagBytes:
	case tagText:
		if !utf8.Valid(v.b) {
			what = "text is not UTF-8"
		}
	case tagInt:
		if !integer(v.b) {
			what = fmt.Sprintf("%q is no whole number", v.b[:min(len(v.b), maxNumber)])
		}
	case tagFloat:
		if _, ok := decimal(v.b); !ok {
			what = fmt.Sprintf("%q is no number", v.b[:min(len(v.b), maxNumber)])
		}
	case tagBool:
		if s := string(v.b); s != "true" && s != "false" {
			what = "a truth value is neither true nor false"
		}
	case tagNull:
		if len(v.b) != 0 {
			what = "null is not empty"
		}
	case tagList, tagDict:
		return checkInside(v, at, depth)
	default:
		what = fmt.Sprintf("there is no kind of value %q", v.tag)
		at += int64(len(v.b))
	}
	if what != "" {
		return &flaw{at, what}
	}
	return nil
}

func checkInside(v value, at int64, depth int) error {
	n, end := 0, at+int64(len(v.b))
	for rest := v.b; len(rest) > 0; n++ {
		from := end - int64(len(rest))
		in, after, err := cut(rest)
		if err != nil {
			return &flaw{from, err.Error()}
		}
		if v.tag == tagDict && n%2 == 0 && in.tag != tagText && in.tag != tagBytes {
			return &flaw{from, "the name of an entry is not text"}
		}
		inside := end - int64(len(after)) - int64(len(in.b)) - 1
		if err := check(in, inside, depth+1); err != nil {
			return err
		}
		rest = after
	}
	if v.tag == tagDict && n%2 != 0 {
		return &flaw{end, "the last entry has no value"}
	}
	return nil
}

func integer(b []byte) bool {
	digits := bytes.TrimPrefix(b, []byte("-"))
	if len(digits) == 0 || len(b) > maxNumber {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func decimal(b []byte) (float64, bool) {
	if len(b) > maxNumber || bytes.ContainsAny(b, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// get returns an entry of a dict, by the first of names that it has; the last, if
// there are several of one name, as it is in Python.
func (v value) get(names ...string) value {
	for _, name := range names {
		if found := v.one(name); found.tag != 0 {
			return found
		}
	}
	return value{}
}

func (v value) one(name string) (found value) {
	if v.tag != tagDict {
		return found
	}
	for rest := v.b; len(rest) > 0; {
		key, after, _ := cut(rest)
		val, after, _ := cut(after)
		if string(key.b) == name {
			found = val
		}
		rest = after
	}
	return found
}

// entries yields what a dict holds.
func (v value) entries() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		if v.tag != tagDict {
			return
		}
		for rest := v.b; len(rest) > 0; {
			key, after, _ := cut(rest)
			in, after, _ := cut(after)
			if !yield(string(key.b), in) {
				return
			}
			rest = after
		}
	}
}

// items yields what a list holds.
func (v value) items() iter.Seq[value] {
	return func(yield func(value) bool) {
		if v.tag != tagList {
			return
		}
		for rest := v.b; len(rest) > 0; {
			in, after, _ := cut(rest)
			if !yield(in) {
				return
			}
			rest = after
		}
	}
}

// at returns the nth item of a list.
func (v value) at(n int) value {
	for in := range v.items() {
		if n == 0 {
			return in
		}
		n--
	}
	return value{}
}

// null reports whether there is nothing.
func (v value) null() bool { return v.tag == 0 || v.tag == tagNull }

// bytes returns what text or octets hold, which must not be kept.
func (v value) bytes() []byte {
	if v.tag == tagBytes || v.tag == tagText {
		return v.b
	}
	return nil
}

func (v value) text() string { return string(v.bytes()) }

func (v value) bool() bool { return v.tag == tagBool && string(v.b) == "true" }

// int returns a whole number; of one that is too large, the largest there is.
func (v value) int() int64 {
	switch v.tag {
	case tagInt:
		n, _ := strconv.ParseInt(string(v.b), 10, 64)
		return n
	case tagFloat:
		f, _ := decimal(v.b)
		if f >= math.MinInt64 && f < math.MaxInt64 {
			return int64(f)
		}
	case tagBool:
		if v.bool() {
			return 1
		}
	}
	return 0
}

// time returns a moment that is written as seconds since 1970, to the nanosecond
// where it is written so: a float64 would have a quarter of a microsecond.
func (v value) time() time.Time {
	if v.tag != tagInt && v.tag != tagFloat {
		return time.Time{}
	}
	seconds, fraction, _ := bytes.Cut(v.b, []byte("."))
	s, err := strconv.ParseInt(string(seconds), 10, 64)
	if err != nil || s < 0 || s > maxSeconds || !plainFraction(fraction) {
		return roughly(v)
	}
	var ns int64
	for i := range 9 {
		ns *= 10
		if i < len(fraction) {
			ns += int64(fraction[i] - '0')
		}
	}
	return time.Unix(s, ns)
}

const maxSeconds = 1 << 33 // beyond are times that don't fit into an int64 of nanoseconds

// roughly is for times in a form that nobody writes.
func roughly(v value) time.Time {
	f, _ := decimal(v.b)
	if math.IsNaN(f) || f < -maxSeconds || f > maxSeconds {
		return time.Time{}
	}
	whole := math.Floor(f)
	return time.Unix(int64(whole), int64((f-whole)*1e9))
}

func plainFraction(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
