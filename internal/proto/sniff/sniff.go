// Package sniff recognises a protocol by the first bytes of a stream: TLS,
// HTTP/1 and the preface of HTTP/2. It also parses TLS ClientHellos. It is pure:
// it reads nothing, waits for nothing, and knows nothing of ports; time limits
// are the caller's.
package sniff

import "transom/flow"

// An Answer says how sure Stream is. As bytes are added it goes from More to
// Yes or No, once, and stays.
type Answer uint8

const (
	More Answer = iota // ambiguous: further bytes decide
	No                 // none of the protocols known here
	Yes                // Result.Layer says which
)

// String returns "more", "no" or "yes".
func (a Answer) String() string {
	return [...]string{"more", "no", "yes", "yes"}[a&3]
}

// Max is how many bytes of a stream Stream ever wants to see: with that many
// the answer is not More, and a Yes is complete or has an error.
const Max = MaxHello

// A Result is what the bytes seen so far say.
type Result struct {
	Answer Answer
	// Layer is the protocol found, with Yes: "tls", "http/1.1" or "h2".
	Layer flow.Layer
	// Complete reports, with Yes, that nothing more can be learned: for TLS
	// that the whole ClientHello is there, for HTTP always.
	Complete bool
	// Hello is the parsed ClientHello of a complete TLS layer; Layer.TLS points
	// into it. Both are also set, as far as it could be read, if the hello is
	// whole but Err says that it is malformed.
	Hello *Hello
	// Err says what is wrong with a ClientHello and at which byte. It is final:
	// such a hello must not be waited for and can't be answered.
	Err error
}

// Stream examines what a client has sent so far. It may be called again each
// time bytes were added, with all of them; a result does not keep prefix. An
// empty prefix is More.
func Stream(prefix []byte) Result {
	if len(prefix) == 0 {
		return Result{}
	}
	if prefix[0] == recordHandshake {
		return tlsStream(prefix)
	}
	return httpStream(prefix)
}
