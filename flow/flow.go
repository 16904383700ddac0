// Package flow holds the nouns: what passed through the proxy, as plain values.
//
// Nothing here does I/O, locks or logs. A *Flow and a *Conn are immutable once
// they have been handed out; a later state is a new value. Everything that
// shows, stores, filters or exports traffic depends on this package and on
// nothing above it.
package flow

import (
	"time"
)

// A Flow is the record of one conversation: an HTTP exchange, a DNS query and its
// answer, a TCP stream, UDP datagrams, or a connection as a whole. A published Flow never changes; a later state of the
// same conversation is a new value with the same ID and a higher Rev.
type Flow struct {
	ID    ID
	Rev   uint32
	Conn  *Conn // who talked to whom; shared by every flow of the connection
	Start time.Time
	End   time.Time // zero while open
	State State
	Err   string // why it failed or ended early, for a person; "" if it did not
	Tags  []string
	// Foreign is what a file that it was read from says of it that has no place here, for
	// whoever writes such a file again: package app/mitm knows what is in it. "" is nothing.
	Foreign string
	Detail
}

// Type returns the word that names the flow's kind wherever it is shown or
// filtered: "http", "websocket", "dns", "tcp", "udp", "tls" or "conn".
func (f *Flow) Type() string {
	switch d := f.Detail.(type) {
	case *HTTP:
		return "http"
	case *DNS:
		return "dns"
	case *Messages:
		return d.Kind
	case *Connection:
		if d.Type != "" {
			return d.Type
		}
	}
	return "conn"
}

// Duration is how long the conversation lasted, or 0 while it is open.
func (f *Flow) Duration() time.Duration {
	if f.End.IsZero() {
		return 0
	}
	return f.End.Sub(f.Start)
}

// Traffic is how many bytes f carried to the server and to the client: of bodies, of
// messages, or what was relayed.
func (f *Flow) Traffic() [2]int64 {
	switch d := f.Detail.(type) {
	case *HTTP:
		return [2]int64{d.RequestBody.Size, d.ResponseBody.Size}
	case *DNS:
		return [2]int64{d.Query.size(), d.Answer.size()}
	case *Messages:
		return d.Bytes
	case *Connection:
		return d.Bytes
	}
	return [2]int64{}
}

// Detail is the protocol part of a flow: *HTTP, *DNS, *Messages or
// *Connection.
type Detail interface{ detail() }

// A State is how far a flow has come.
type State uint8

const (
	Open   State = iota // the conversation goes on
	Done                // it ended as its protocol says
	Failed              // it was cut short; Flow.Err says why
)

// HTTP is the detail of one exchange. Original* is nil unless middleware
// changed what the client or the server had sent; then Request and Response
// are what went out, and Original* what came in.
type HTTP struct {
	Request, OriginalRequest   *RequestHead
	Response, OriginalResponse *ResponseHead
	Interim                    []ResponseHead // 1xx responses, in order
	RequestBody, ResponseBody  BodyRef

	// What came in, where middleware replaced the body; else nil.
	OriginalRequestBody, OriginalResponseBody *BodyRef

	RequestTrailer  Header
	ResponseTrailer Header
	FirstByte       time.Time // when the final response head was complete; zero before
	Notes           []string  // oddities that were passed on unchanged
	Began           ID        // the flow of what took over after an Upgrade or extended CONNECT; zero if nothing did
}

// A BodyRef names stored bytes by where they lie. It is known while the body
// still streams: bytes are appended at Offset of Segment, and Kept grows.
type BodyRef struct {
	Size      int64 // bytes seen on the wire, without transfer framing
	Kept      int64 // bytes the store holds
	Truncated bool  // Kept < Size because a limit was reached
	Segment   uint64
	Offset    int64
}

// Messages is the detail of a conversation that is a sequence of messages: TCP
// chunks, UDP datagrams or WebSocket messages.
type Messages struct {
	Kind  string   // "tcp", "udp", "websocket"
	Count [2]int64 // messages to the server, to the client
	Bytes [2]int64 // of payload to the server, to the client; without compression
	Log   BodyRef  // the messages, in the order they passed; see package message

	Handshake ID           // the flow of the HTTP exchange that began it; zero if none did
	Request   *RequestHead // of that exchange, as it was sent
	Notes     []string     // oddities that were passed on unchanged
}

// Connection is the detail of a connection as a whole. Every connection has
// one such record at its end, whatever else it carried.
type Connection struct {
	// Type is "tls" for TLS that was not decrypted, else "conn".
	Type string
	// Action is what policy made of it: "inspect", "record", "pass", "block".
	Action string
	// Reason says why nothing was decrypted or why it failed, "" if neither:
	// "ignored by rule", "client refused our certificate", "destination
	// unknown: …", "server refused", ….
	Reason string
	// Flows counts the flows that were recorded inside.
	Flows int64
	// Bytes counts payload bytes relayed unparsed: to the server, to the client.
	Bytes [2]int64
	// Client and Server say how each side ended.
	Client, Server Close
}

// A Close is how one side of a connection ended.
type Close uint8

const (
	NotClosed    Close = iota // it had not ended when we did, or never began
	FIN                       // it sent FIN
	RST                       // it sent RST
	Alert                     // it sent a fatal TLS alert
	Timeout                   // it was silent for too long
	Refused                   // it refused the connection (RST to a SYN)
	Unreachable               // no route, or ICMP unreachable
	ClosedByUs                // we ended it: policy, shutdown, protocol error
	HandshakeEnd              // it closed in the middle of a TLS handshake
)

var closeNames = [...]string{"", "fin", "rst", "alert", "timeout", "refused", "unreachable", "us", "handshake"}

// String returns the word used in JSON: "fin", "rst", "alert", "timeout",
// "refused", "unreachable", "us", "handshake" or "".
func (c Close) String() string {
	if int(c) < len(closeNames) {
		return closeNames[c]
	}
	return "unknown"
}

func (*HTTP) detail()       {}
func (*Messages) detail()   {}
func (*Connection) detail() {}
