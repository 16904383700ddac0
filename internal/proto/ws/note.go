package ws

import "transom/message"

// A note is an oddity. Each is told of once in a direction.
type note uint8

const (
	noteOpcode note = iota
	noteUnmasked
	noteMasked
	noteControlFragment
	noteControlLength
	noteLong
	noteRSV
	noteContinuation
	noteNested
	noteAfterClose
	noteText
	noteDamaged
	noteBomb
	noteTooLong
	noteBudget
	noteUndecidable
	noteUnfinished
)

var notes = [...]string{
	noteOpcode:          "a frame with a reserved opcode (RFC 6455, section 5.2) was passed on",
	noteUnmasked:        "a frame without mask (RFC 6455, section 5.1) was passed on",
	noteMasked:          "a frame with mask (RFC 6455, section 5.1) was passed on",
	noteControlFragment: "a fragmented control frame (RFC 6455, section 5.5) was passed on",
	noteControlLength:   "a control frame of more than 125 octets (RFC 6455, section 5.5) was passed on",
	noteLong:            "a length not written as short as it can be (RFC 6455, section 5.2) was passed on",
	noteRSV:             "reserved bits that no extension gave a meaning (RFC 6455, section 5.2) were passed on",
	noteContinuation:    "a continuation of no message (RFC 6455, section 5.4) was passed on",
	noteNested:          "a message inside another (RFC 6455, section 5.4) was passed on",
	noteAfterClose:      "frames behind a close frame (RFC 6455, section 5.5.1) were passed on",
	noteText:            "text that is not UTF-8 (RFC 6455, section 8.1) was passed on",
	noteDamaged:         "compressed data that can't be decompressed (RFC 7692, section 7.2.2) was passed on",
	noteBomb:            "compressed messages are passed on but no longer decompressed: one was too much larger than it came",
	noteTooLong:         "a message too long to be assembled passed by the handlers",
	noteBudget:          "a message passed by the handlers, since too much is held in memory already",
	noteUndecidable:     "frames can't be told apart any more (RFC 6455, section 5.2); the rest was passed on as it came",
	noteUnfinished:      "the stream ended in the middle of a message or frame",
}

func (in *inbound) note(n note) {
	if in.noted&(1<<n) != 0 {
		return
	}
	in.noted |= 1 << n
	in.c.o.Record.Note([...]string{"to the server: ", "to the client: "}[in.dir] + notes[n])
}

// check notes what is wrong with a header by itself.
func (in *inbound) check(h *header) {
	fromClient := in.dir == message.ToServer
	switch {
	case fromClient && !h.masked:
		in.note(noteUnmasked)
	case !fromClient && h.masked:
		in.note(noteMasked)
	}
	if h.long {
		in.note(noteLong)
	}
	if in.closed {
		in.note(noteAfterClose)
	}
	if reserved(h.op) {
		in.note(noteOpcode)
	}
	if h.op < opClose {
		return
	}
	if !h.fin {
		in.note(noteControlFragment)
	}
	if h.length > maxControl {
		in.note(noteControlLength)
	}
	if h.rsv != 0 {
		in.note(noteRSV)
	}
}

func reserved(op byte) bool { return op > opBinary && op < opClose || op > opPong }
