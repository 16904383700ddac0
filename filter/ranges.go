package filter

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"transom/flow"
)

// A span is numbers from one to another, both in it.
type span struct{ low, up int64 }

// spans reads what is written as >1, >=1, <1, <=1, 1-2, 1, or several of these with
// commas between them.
func spans(arg string, number func(string) (low, up int64, err error)) ([]span, error) {
	var list []span
	for one := range strings.SplitSeq(arg, ",") {
		s, err := spanOf(strings.TrimSpace(one), number)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func spanOf(text string, number func(string) (low, up int64, err error)) (span, error) {
	rest := strings.TrimLeft(text, "<>=")
	sign := text[:len(text)-len(rest)]
	from, to, isRange := strings.Cut(rest, "-")
	low, up, err := number(strings.TrimSpace(from))
	switch {
	case err != nil:
		return span{}, err
	case sign == "" && isRange:
		if _, up, err = number(strings.TrimSpace(to)); err == nil && up < low {
			err = fmt.Errorf("%s is more than %s", from, to)
		}
		return span{low, up}, err
	case isRange:
		return span{}, fmt.Errorf("%q is both a range and %s", text, sign)
	}
	switch sign {
	case "":
		return span{low, up}, nil
	case ">=":
		return span{low, math.MaxInt64}, nil
	case "<=":
		return span{math.MinInt64, up}, nil
	case ">":
		return span{up + 1, math.MaxInt64}, nil
	case "<":
		return span{math.MinInt64, low - 1}, nil
	}
	return span{}, fmt.Errorf("%s is no comparison: want >, >=, < or <=", sign)
}

func within(list []span, n int64) bool {
	for _, s := range list {
		if s.low <= n && n <= s.up {
			return true
		}
	}
	return false
}

// A test is what other arguments than regular expressions ask.
type test struct {
	numbers []Number // any of these
	in      func(int64) bool
	texts   []Text // any of these
	on      func(list string) Answer
	words   []string

	decides func(*subject) bool
}

// numbers makes a test of whether one of several is in a list.
func numbers(list []span, of ...Number) *test {
	in := func(n int64) bool { return within(list, n) }
	return &test{numbers: of, in: in, decides: func(s *subject) bool {
		for _, n := range of {
			if v := s.number(n); v != None && in(v) {
				return true
			}
		}
		return false
	}}
}

// code reads what ~c takes. A number that is too large is no response's.
func code(arg string) (*test, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		n = -1
	}
	return numbers([]span{{int64(n), int64(n)}}, Status), nil
}

// status reads ranges of response codes, of which 4xx is one.
func status(arg string) (*test, error) {
	list, err := spans(arg, func(text string) (low, up int64, err error) {
		if len(text) == 3 && strings.EqualFold(text[1:], "xx") && text[0] >= '1' && text[0] <= '9' {
			low = int64(text[0]-'0') * 100
			return low, low + 99, nil
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, 0, fmt.Errorf("%q is no response code: want 404, 4xx, 500-599, or several with commas", text)
		}
		return int64(n), int64(n), nil
	})
	return numbers(list, Status), err
}

// duration reads how long a flow lasted, which is known when it has ended.
func duration(arg string) (*test, error) {
	list, err := spans(arg, func(text string) (low, up int64, err error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return 0, 0, fmt.Errorf("%q is no duration: want >1s, <=250ms or 1s-2m30s", text)
		}
		return int64(d), int64(d), nil
	})
	return numbers(list, Duration), err
}

// size reads how many bytes of content there were.
func size(of Number) func(arg string) (*test, error) {
	return func(arg string) (*test, error) {
		list, err := spans(arg, bytesOf)
		return numbers(list, of), err
	}
}

func bytesOf(text string) (low, up int64, err error) {
	bad := fmt.Errorf("%q is no size: want >1m, <=1.5k or 1k-64k; units are k, m and g, powers of 1024", text)
	digits, unit := strings.ToLower(text), 1.0
	if n := len(digits); n > 1 {
		if i := strings.IndexByte("kmg", digits[n-1]); i >= 0 {
			digits, unit = digits[:n-1], float64(int(1)<<(10*(i+1)))
		}
	}
	if strings.Trim(digits, "0123456789.") != "" {
		return 0, 0, bad
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n*unit > 1<<60 {
		return 0, 0, bad
	}
	return int64(n * unit), int64(n * unit), nil
}

// version reads versions of TLS that one of the legs has agreed on.
func version(legs ...Number) func(arg string) (*test, error) {
	return func(arg string) (*test, error) {
		list, err := spans(arg, func(text string) (low, up int64, err error) {
			for i, v := range [...]string{"1.0", "1.1", "1.2", "1.3"} {
				if text == v {
					return 0x301 + int64(i), 0x301 + int64(i), nil
				}
			}
			return 0, 0, fmt.Errorf("%q is no version: want 1.0, 1.1, 1.2 or 1.3, as in <1.2", text)
		})
		return numbers(list, legs...), err
	}
}

// network reads networks and addresses, with commas between them.
func network(text Text, of func(*flow.Conn) netip.Addr) func(arg string) (*test, error) {
	return func(arg string) (*test, error) {
		var list []netip.Prefix
		for one := range strings.SplitSeq(arg, ",") {
			n, err := prefix(strings.TrimSpace(one))
			if err != nil {
				return nil, err
			}
			list = append(list, n)
		}
		return &test{texts: []Text{text}, on: isIn(list), decides: func(s *subject) bool {
			if s.Conn == nil {
				return false
			}
			a := plain(of(s.Conn))
			for _, n := range list {
				if n.Contains(a) {
					return true
				}
			}
			return false
		}}, nil
	}
}

func prefix(text string) (netip.Prefix, error) {
	if n, err := netip.ParsePrefix(text); err == nil {
		return n.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network: want 192.168.7.0/24, 2001:db8::/32, an address, or several with commas", text)
	}
	a = plain(a)
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func since(arg string) (*test, error) {
	t, err := moment(arg)
	return &test{
		numbers: []Number{Start},
		in:      func(n int64) bool { return !time.Unix(0, n).Before(t) },
		decides: func(s *subject) bool { return !s.Start.Before(t) },
	}, err
}

func until(arg string) (*test, error) {
	t, err := moment(arg)
	return &test{
		numbers: []Number{Start},
		in:      func(n int64) bool { return time.Unix(0, n).Before(t) },
		decides: func(s *subject) bool { return s.Start.Before(t) },
	}, err
}

// moment reads a time, in the local zone unless it names another.
func moment(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range [...]string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("no time: want 2026-01-31, 2026-01-31T15:04 or 2026-01-31T15:04:05Z")
}
