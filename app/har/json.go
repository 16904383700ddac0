package har

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// What is read of an entry. Producers differ in what they leave out, and in what they
// write as null, as a number, or as a string.
type jsonEntry struct {
	StartedDateTime instant      `json:"startedDateTime"`
	Time            number       `json:"time"`
	Request         *jsonRequest `json:"request"`
	Response        jsonResponse `json:"response"`
	Timings         jsonTimings  `json:"timings"`
	ServerIPAddress loose        `json:"serverIPAddress"`
	Connection      loose        `json:"connection"`
	ResourceType    loose        `json:"_resourceType"`
	Messages        []jsonFrame  `json:"_webSocketMessages"`
	Comment         loose        `json:"comment"`
}

type jsonRequest struct {
	Method      loose     `json:"method"`
	URL         loose     `json:"url"`
	HTTPVersion loose     `json:"httpVersion"`
	Headers     []pair    `json:"headers"`
	Trailers    []pair    `json:"_trailers"`
	PostData    *postData `json:"postData"`
	BodySize    number    `json:"bodySize"`
}

type jsonResponse struct {
	Status      number  `json:"status"`
	StatusText  loose   `json:"statusText"`
	HTTPVersion loose   `json:"httpVersion"`
	Headers     []pair  `json:"headers"`
	Trailers    []pair  `json:"_trailers"`
	Content     content `json:"content"`
	BodySize    number  `json:"bodySize"`
	Error       loose   `json:"_error"`
}

type postData struct {
	MimeType loose  `json:"mimeType"`
	Text     *loose `json:"text"`
	Encoding loose  `json:"encoding"`
	Params   []pair `json:"params"`
}

type content struct {
	Size     number `json:"size"`
	MimeType loose  `json:"mimeType"`
	Text     *loose `json:"text"`
	Encoding loose  `json:"encoding"`
}

type jsonTimings struct {
	Blocked number `json:"blocked"`
	DNS     number `json:"dns"`
	Connect number `json:"connect"`
	Send    number `json:"send"`
	Wait    number `json:"wait"`
	Receive number `json:"receive"`
}

type jsonFrame struct {
	Type   loose  `json:"type"`
	Time   number `json:"time"`
	Opcode number `json:"opcode"`
	Data   loose  `json:"data"`
}

// A loose is a string, or what stands for one.
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(l))
	case 'n':
		return nil
	case '{', '[':
		return errors.New("want a string")
	}
	*l = loose(b)
	return nil
}

// A number is one, in figures or in a string; 0 if it is null or no number.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	if b[0] == '{' || b[0] == '[' {
		return errors.New("want a number")
	}
	if v, err := strconv.ParseFloat(string(bytes.Trim(b, `"`)), 64); err == nil {
		*n = number(v)
	}
	return nil
}

// int is the number as a size or count: at least 0, and none that would not fit.
func (n number) int() int64 {
	if n > 0 && n < 1<<53 {
		return int64(n)
	}
	return 0
}

// millis is the number as a duration in milliseconds, 0 where it is not known.
func (n number) millis() time.Duration {
	if n > 0 && n < 1e12 {
		return time.Duration(float64(n) * float64(time.Millisecond))
	}
	return 0
}

// An instant is when something was.
type instant struct{ time.Time }

// layouts are how producers write it.
var layouts = [...]string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02",
}

// UnmarshalJSON implements json.Unmarshaler.
func (at *instant) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.New("startedDateTime: want a string")
	}
	for _, layout := range layouts {
		if v, err := time.Parse(layout, s); err == nil && v.Year() >= 1970 && v.Year() < 2262 {
			at.Time = v
			return nil
		}
	}
	return errors.New("startedDateTime: want a time as in 2026-01-02T15:04:05.678Z, got " + strconv.Quote(s))
}

// A pair is a name and a value, as an object, or as Slack has it, as an array of two.
type pair struct{ Name, Value loose }

// UnmarshalJSON implements json.Unmarshaler.
func (p *pair) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		var o struct {
			Name  loose `json:"name"`
			Value loose `json:"value"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return errors.New("want a name and a value")
		}
		*p = pair(o)
		return nil
	}
	var a []loose
	if err := json.Unmarshal(b, &a); err != nil || len(a) != 2 {
		return errors.New("want a name and a value")
	}
	p.Name, p.Value = a[0], a[1]
	return nil
}
