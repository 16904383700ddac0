package mitm

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"
	"unicode/utf8"

	"transom/flow"
)

// What a flow has and mitmproxy's have no place for is in two entries of its
// metadata, each a text of JSON: mitmproxy 8 refuses what JSON has not, and what is
// between them is nobody's but ours. One is of the flow, one of the connection.
//
// Somebody may have edited the rest with mitmproxy meanwhile. So what is in there is
// believed only as far as the rest is what we had written: of a head by a sum of its
// fields, of a connection by its addresses, of messages by their number and sizes.
const (
	metaFlow = "transom"
	metaConn = "transom_conn"
)

// A flowMeta is of a flow.
type flowMeta struct {
	Rev      uint32      `json:"rev,omitempty"`
	State    *flow.State `json:"state,omitempty"` // if it isn't what the error says
	Tags     []text      `json:"tags,omitempty"`
	Notes    []text      `json:"notes,omitempty"`
	Start    int64       `json:"start,omitempty"`   // in nanoseconds, where the format doesn't have it
	End      int64       `json:"end,omitempty"`     // in nanoseconds, if nothing else says it
	Open     bool        `json:"open,omitempty"`    // there is no end
	NoFirst  bool        `json:"nofirst,omitempty"` // nobody knows when the response began
	Began    *flow.ID    `json:"began,omitempty"`
	Interim  []headMeta  `json:"interim,omitempty"`
	Request  *headMeta   `json:"request,omitempty"`
	Response *headMeta   `json:"response,omitempty"`
	Before   *beforeMeta `json:"before,omitempty"` // what middleware changed, which is in backup

	RequestBody  *bodyMeta `json:"request_body,omitempty"`
	ResponseBody *bodyMeta `json:"response_body,omitempty"`

	Messages *messagesMeta `json:"messages,omitempty"`

	Query  []byte `json:"query,omitempty"` // DNS, as it was
	Answer []byte `json:"answer,omitempty"`
	Silent bool   `json:"silent,omitempty"` // nobody had asked
}

// A beforeMeta is of what came in, where what went out is different.
type beforeMeta struct {
	Request      *headMeta `json:"request,omitempty"`
	Response     *headMeta `json:"response,omitempty"`
	RequestBody  *bodyMeta `json:"request_body,omitempty"`
	ResponseBody *bodyMeta `json:"response_body,omitempty"`
	// Heads says whose heads are different: else only the body is.
	Heads [2]bool `json:"heads"`
}

// A bodyMeta is of a body that is not in the file as a whole.
type bodyMeta struct {
	Size int64 `json:"size"`
}

// A headMeta is of one head.
type headMeta struct {
	Sum   string  `json:"sum,omitempty"`
	Full  *head   `json:"full,omitempty"`  // if it can't be told from mitmproxy's form
	Raw   *text   `json:"raw,omitempty"`   // "" is the usual form, see canonical
	Forms []byte  `json:"forms,omitempty"` // of the fields
	H2    *h2Meta `json:"h2,omitempty"`
	Trail []byte  `json:"trail,omitempty"` // forms of the trailer's fields
}

// A head is a request's or a response's.
type head struct {
	Method    text       `json:"method,omitempty"`
	Scheme    text       `json:"scheme,omitempty"`
	Authority text       `json:"authority,omitempty"`
	Target    text       `json:"target,omitempty"`
	Protocol  text       `json:"protocol,omitempty"`
	Status    int        `json:"status,omitempty"`
	Reason    text       `json:"reason,omitempty"`
	Proto     flow.Proto `json:"http"`
	Header    [][2]text  `json:"headers"`
}

type h2Meta struct {
	Stream     uint32           `json:"stream"`
	Pseudo     [][2]text        `json:"pseudo,omitempty"`
	Forms      []byte           `json:"forms,omitempty"`
	Priority   *flow.H2Priority `json:"priority,omitempty"`
	TableSizes []uint32         `json:"sizes,omitempty"`
}

// A messagesMeta is of a sequence of messages.
type messagesMeta struct {
	ID      *flow.ID    `json:"id,omitempty"` // of a WebSocket's own flow
	Rev     uint32      `json:"rev,omitempty"`
	State   *flow.State `json:"state,omitempty"`
	Tags    []text      `json:"tags,omitempty"`
	Notes   []text      `json:"notes,omitempty"`
	Start   int64       `json:"start,omitempty"` // nanoseconds behind the handshake's
	Open    bool        `json:"open,omitempty"`
	Failed  bool        `json:"failed,omitempty"` // the error is this flow's
	Err     *text       `json:"error,omitempty"`  // if both have one
	Before  *flow.ID    `json:"handshake,omitempty"`
	Request *headMeta   `json:"request,omitempty"` // of the handshake, if it is not here
	Log     []byte      `json:"log,omitempty"`     // see logMeta
	Count   *[2]int64   `json:"count,omitempty"`   // if not all messages are in the log
	Bytes   *[2]int64   `json:"bytes,omitempty"`
	Size    int64       `json:"size,omitempty"`  // of a log that is not complete
	Apart   bool        `json:"apart,omitempty"` // Request is not that of the handshake
	Alone   bool        `json:"alone,omitempty"` // the handshake is none that was seen
}

// A connMeta is of a connection.
type connMeta struct {
	Network string         `json:"network"`
	Via     string         `json:"via"`
	Host    text           `json:"host,omitempty"`
	Client  netip.AddrPort `json:"client"`
	Local   netip.AddrPort `json:"local"`
	Dst     netip.AddrPort `json:"dst"`
	Process *processMeta   `json:"process,omitempty"`
	Device  *deviceMeta    `json:"device,omitempty"`
	Layers  []layerMeta    `json:"layers,omitempty"`
	Server  *legMeta       `json:"server,omitempty"`
}

type processMeta struct {
	PID       int  `json:"pid,omitempty"`
	Name      text `json:"name,omitempty"`
	Path      text `json:"path,omitempty"`
	UID       int  `json:"uid"`
	User      text `json:"user,omitempty"`
	Cgroup    text `json:"cgroup,omitempty"`
	Container text `json:"container,omitempty"`
	Unit      text `json:"unit,omitempty"`
}

type deviceMeta struct {
	MAC  string `json:"mac,omitempty"`
	Name text   `json:"name,omitempty"`
	By   string `json:"named_by,omitempty"`
}

type layerMeta struct {
	Proto string   `json:"proto"`
	Host  text     `json:"host,omitempty"`
	H2    text     `json:"h2,omitempty"`
	TLS   *tlsMeta `json:"tls,omitempty"`
}

type legMeta struct {
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
	Err  text           `json:"error,omitempty"`
	H2   text           `json:"h2,omitempty"`
	TLS  *tlsMeta       `json:"tls,omitempty"`
}

type tlsMeta struct {
	Name      text     `json:"sni,omitempty"`
	ALPN      []text   `json:"offered,omitempty"`
	Versions  []uint16 `json:"versions,omitempty"`
	Hello     []byte   `json:"hello,omitempty"`
	ECH       bool     `json:"ech,omitempty"`
	JA3       string   `json:"ja3,omitempty"`
	JA4       string   `json:"ja4,omitempty"`
	Version   uint16   `json:"version,omitempty"`
	Suite     uint16   `json:"suite,omitempty"`
	Protocol  text     `json:"alpn,omitempty"`
	Group     uint16   `json:"group,omitempty"`
	Chain     [][]byte `json:"chain,omitempty"` // if it is not in certificate_list
	Listed    bool     `json:"listed,omitempty"`
	VerifyErr text     `json:"verify_error,omitempty"`
	WantsCert bool     `json:"wants_cert,omitempty"`
	Resumed   bool     `json:"resumed,omitempty"`
}

// text is a string of any octets: in JSON a string, or, if that can't be, an array
// with its base64.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([1]string{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(p []byte) error {
	if len(p) > 0 && p[0] == '"' {
		return json.Unmarshal(p, (*string)(t))
	}
	var odd [1]string
	if err := json.Unmarshal(p, &odd); err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(odd[0])
	*t = text(b)
	return err
}

func texts(ss []string) []text {
	var ts []text
	for _, s := range ss {
		ts = append(ts, text(s))
	}
	return ts
}

func untexts(ts []text) []string {
	var ss []string
	for _, t := range ts {
		ss = append(ss, string(t))
	}
	return ss
}

// valid returns s as UTF-8, with \xNN for octets that are not: as mitmproxy writes
// them.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// sum tells whether fields are those that were written. It is no protection against
// anybody.
func sum(fields ...string) string {
	h := fnv.New64a()
	for _, f := range fields {
		h.Write([]byte(f))
		h.Write([]byte{0xff})
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
