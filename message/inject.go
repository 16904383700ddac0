package message

import "errors"

// Why a message can't be put into a conversation from outside.
var (
	// ErrUnknown: there is no such conversation.
	ErrUnknown = errors.New("no such conversation")
	// ErrEnded: nothing more can be sent that way.
	ErrEnded = errors.New("the conversation has ended")
	// ErrBusy: too much waits to be sent that way already.
	ErrBusy = errors.New("too many messages wait to be sent")
	// ErrOpaque: nothing can be put in, because it is not taken apart or not
	// understood.
	ErrOpaque = errors.New("messages can't be put into this conversation")
	// ErrInvalid: its protocol has no such message.
	ErrInvalid = errors.New("not a message of this protocol")
)
