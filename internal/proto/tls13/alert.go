package tls13

import (
	"net"
	"strconv"
)

// An alert is the description of one (RFC 8446, section 6).
type alert uint8

const (
	closeNotify       alert = 0
	unexpectedMessage alert = 10
	badRecordMAC      alert = 20
	recordOverflow    alert = 22
	handshakeFailure  alert = 40
	illegalParameter  alert = 47
	decodeError       alert = 50
	decryptError      alert = 51
	internalError     alert = 80
	userCanceled      alert = 90
)

// Error is for logs; who tells a person names the number.
func (a alert) Error() string { return "alert " + strconv.Itoa(int(a)) }

// fail ends the connection with an alert, and returns the error that says so.
func (c *Conn) fail(a alert) error {
	c.inErr = &net.OpError{Op: "local error", Err: a}
	_ = c.send(recordAlert, []byte{2, byte(a)}) // the error is what counts
	return c.inErr
}

// alerted takes an alert of the client's.
func (c *Conn) alerted(p []byte) error {
	if len(p) != 2 {
		return c.fail(decodeError)
	}
	return &net.OpError{Op: "remote error", Err: alert(p[1])}
}
