package tls13

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Conn is the connection after the handshake. Reading ends with io.EOF when the
// client has sent close_notify, and with io.ErrUnexpectedEOF when its stream ended
// without. Read and Write may be used at the same time, and Close at any time.
type Conn struct {
	net.Conn // below TLS
	suite    *suite
	complete bool // the handshake is

	// What comes; guarded by reading once the handshake is complete.
	reading sync.Mutex
	r       *bufio.Reader
	in      half
	skip    int    // bytes of early data that may still be passed over
	idles   int    // records in a row that brought nothing
	pending []byte // application data, in r's buffer
	hand    []byte // of a handshake message
	inErr   error  // that stays

	// What goes; guarded by writing.
	writing sync.Mutex
	out     half
	buf     []byte
	outErr  error // that stays
}

func newConn(c net.Conn) *Conn {
	return &Conn{Conn: c, r: bufio.NewReaderSize(c, recordHeader+maxCiphertext)}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.pending) == 0 {
		if c.inErr != nil || len(p) == 0 {
			return 0, c.inErr
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// next handles one record.
func (c *Conn) next() error {
	typ, p, err := c.record()
	if err != nil {
		return err
	}
	switch typ {
	case recordApplicationData:
		if len(c.hand) > 0 || len(p) == 0 && c.idle() {
			return c.fail(unexpectedMessage)
		}
		if len(p) > 0 {
			c.idles = 0
		}
		c.pending = p
		return nil
	case recordHandshake:
		return c.keyUpdate(p)
	case recordAlert:
		return c.end(p)
	}
	return c.fail(unexpectedMessage)
}

// end takes an alert after the handshake; all but one end what comes.
func (c *Conn) end(p []byte) error {
	switch {
	case len(p) == 2 && alert(p[1]) == closeNotify:
		c.inErr = io.EOF
	case len(p) == 2 && alert(p[1]) == userCanceled:
		if c.idle() {
			return c.fail(unexpectedMessage)
		}
		return nil // close_notify follows (RFC 8446, section 6.1)
	default:
		c.inErr = c.alerted(p)
	}
	return c.inErr
}

// message reads a handshake message of the kind that has to come, of at most so
// many bytes. It ends with its record, since the keys change after it.
func (c *Conn) message(want uint8, most int) ([]byte, error) {
	for {
		typ, p, err := c.record()
		switch {
		case err != nil:
			return nil, err
		case typ == recordAlert:
			err := c.alerted(p)
			if len(p) == 2 && alert(p[1]) == closeNotify {
				err = io.ErrUnexpectedEOF // it has left
			}
			return nil, err
		case typ != recordHandshake || len(p) == 0:
			return nil, c.fail(unexpectedMessage)
		}
		c.hand = append(c.hand, p...)
		msg, whole, err := c.whole(want, most)
		if whole || err != nil {
			return msg, err
		}
	}
}

// whole returns the handshake message that was being put together, if all of it
// is there.
func (c *Conn) whole(want uint8, most int) (msg []byte, ok bool, err error) {
	if c.hand[0] != want {
		return nil, false, c.fail(unexpectedMessage)
	}
	if len(c.hand) < 4 {
		return nil, false, nil
	}
	size := 4 + int(c.hand[1])<<16 + int(c.hand[2])<<8 + int(c.hand[3])
	switch {
	case size > most:
		return nil, false, c.fail(decodeError)
	case len(c.hand) < size:
		return nil, false, nil
	case len(c.hand) > size:
		return nil, false, c.fail(unexpectedMessage)
	}
	msg, c.hand = c.hand, nil
	return msg, true, nil
}

// keyUpdate takes a part of what is the only handshake message that a client may
// send afterwards (RFC 8446, section 4.6.3).
func (c *Conn) keyUpdate(p []byte) error {
	if len(p) == 0 || c.idle() {
		return c.fail(unexpectedMessage)
	}
	c.hand = append(c.hand, p...)
	msg, ok, err := c.whole(typeKeyUpdate, 4+1)
	if err != nil || !ok {
		return err
	}
	if len(msg) != 5 || msg[4] > 1 {
		return c.fail(decodeError)
	}
	if err := c.in.update(c.suite); err != nil || msg[4] == 0 {
		return err
	}
	return c.answerUpdate()
}

// answerUpdate changes our keys because the client asks for it.
func (c *Conn) answerUpdate() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.outErr != nil {
		return nil // nothing goes any more that could use new keys
	}
	if err := c.sendLocked(recordHandshake, []byte{typeKeyUpdate, 0, 0, 1, 0}); err != nil {
		return nil // whoever writes next hears of it
	}
	return c.out.update(c.suite)
}

// Write implements net.Conn. After an error nothing can be written any more.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	written := 0
	for len(p) > 0 {
		n := min(len(p), maxPlaintext)
		if err := c.sendLocked(recordApplicationData, p[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, c.outErr
}

// send sends p in as many records as it takes.
func (c *Conn) send(typ uint8, p []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.sendLocked(typ, p)
}

func (c *Conn) sendLocked(typ uint8, p []byte) error {
	if c.outErr != nil {
		return c.outErr
	}
	c.buf = c.buf[:0]
	for len(p) > 0 {
		n := min(len(p), maxPlaintext)
		c.buf = c.out.seal(c.buf, typ, p[:n])
		p = p[n:]
	}
	_, c.outErr = c.Conn.Write(c.buf)
	return c.outErr
}

// errShutdown is what writing gives after CloseWrite.
var errShutdown = errors.New("TLS stream is shut down for writing")

// CloseWrite sends close_notify.
func (c *Conn) CloseWrite() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.closeWriteLocked()
}

func (c *Conn) closeWriteLocked() error {
	if c.outErr == errShutdown {
		return nil
	}
	err := c.sendLocked(recordAlert, []byte{1, byte(closeNotify)})
	c.outErr = errShutdown
	return err
}

// closeWait is how long Close waits for close_notify to go out.
const closeWait = 5 * time.Second

// Close implements net.Conn. It sends close_notify, unless a Write is stuck.
func (c *Conn) Close() error {
	if c.writing.TryLock() {
		defer c.writing.Unlock()
		_ = c.SetWriteDeadline(time.Now().Add(closeWait))
		_ = c.closeWriteLocked() // closing is what counts
	}
	return c.Conn.Close()
}

var _ net.Conn = (*Conn)(nil)
