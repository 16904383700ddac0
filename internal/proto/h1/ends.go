package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
)

// HalfClose ends our side of the connection as the client has ended its own,
// which how tells: io.EOF, or what wraps io.ErrUnexpectedEOF for TLS that was
// cut short. It does so behind the request under way, or else behind the next
// one. It may be called by any goroutine.
func (c *Client) HalfClose(how error) {
	c.mu.Lock()
	c.ended = how
	now := c.sent
	c.mu.Unlock()
	if now {
		endWrite(c.conn, how)
	}
}

// setSent notes whether the request under way has gone out whole. If the client
// has ended its side meanwhile, ours ends behind it.
func (c *Client) setSent(sent bool) {
	c.mu.Lock()
	c.sent = sent
	how := c.ended
	c.mu.Unlock()
	if sent && how != nil {
		endWrite(c.conn, how)
	}
}

// abort closes the connection under whoever uses it, as the client's was: err
// says how.
func (c *Client) abort(err error) {
	c.mu.Lock()
	if c.aborted == nil {
		c.aborted = err
	}
	c.mu.Unlock()
	endLike(c.conn, err)
}

func (c *Client) abortion() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aborted
}

// drop closes the connection under an exchange that has not come to its end. If
// that is the server's doing the connection is left to whoever owns it: the
// server is to see how the client takes it.
func (c *Client) drop(r *reply) {
	c.last = true
	switch {
	case c.ctx.Err() != nil:
		c.abort(context.Cause(c.ctx))
	case c.in.err == nil, errors.Is(c.in.err, net.ErrClosed), r.up != nil && !r.up.ended():
		c.broke = true
		c.conn.Close()
	}
}

// isEnd reports whether err, of reading a connection, is its end. TLS that ends
// without close_notify gives something that wraps io.ErrUnexpectedEOF.
func isEnd(err error) bool {
	return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
}

// endWrite ends our side of c. Who waits for the rest of the response learns of
// what fails.
func endWrite(c net.Conn, how error) {
	if t, ok := c.(interface{ Truncate() error }); ok && how != io.EOF {
		_ = t.Truncate()
		return
	}
	_ = closeWrite(c)
}

// endLike closes c as the client's connection ended. A reset is one, and TLS
// that was cut short ends short: neither is preceded by a close_notify, which
// closing the socket leaves out.
func endLike(c net.Conn, err error) {
	defer c.Close()
	var client *ClientError
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s := socket(c)
		if l, ok := s.(interface{ SetLinger(int) error }); ok {
			_ = l.SetLinger(0) // without it the close is a FIN
		}
		s.Close()
	case errors.As(err, &client) && client.Err != io.ErrUnexpectedEOF && errors.Is(err, io.ErrUnexpectedEOF):
		socket(c).Close() // a bare io.ErrUnexpectedEOF is of a body behind a close_notify
	}
}

// socket returns the innermost conn of c.
func socket(c net.Conn) net.Conn {
	for {
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = below.NetConn()
	}
}
