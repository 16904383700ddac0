package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// A taken conn is a connection whose HTTP is over. It yields what was read ahead
// first.
type taken struct {
	net.Conn
	in *input
}

func (t *taken) Read(b []byte) (int, error) {
	if t.in.buffered() > 0 {
		n := copy(b, t.in.bytes())
		t.in.use(n)
		return n, nil
	}
	t.in.release()
	if t.in.err != nil {
		return 0, t.in.err
	}
	return t.Conn.Read(b)
}

// CloseWrite passes half-close on to the transport.
func (t *taken) CloseWrite() error { return closeWrite(t.Conn) }

// NetConn returns the conn below.
func (t *taken) NetConn() net.Conn { return t.Conn }

func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// tunnel relays both ways until both sides have ended: a side's FIN goes on as
// one, any other end ends both.
func tunnel(ctx context.Context, a, b net.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		a.Close()
		b.Close()
	})
	defer stop()
	var there, back error
	var wg sync.WaitGroup
	wg.Go(func() { there = oneWay(b, a) })
	back = oneWay(a, b)
	wg.Wait()
	b.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if there == nil || errors.Is(there, net.ErrClosed) {
		return back
	}
	return there
}

func oneWay(dst, src net.Conn) error {
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	for {
		n, err := src.Read(lent[:])
		if n > 0 {
			if _, err := dst.Write(lent[:n]); err != nil {
				src.Close()
				dst.Close()
				return err
			}
		}
		if err == io.EOF {
			return closeWrite(dst)
		}
		if err != nil {
			src.Close()
			dst.Close()
			return err
		}
	}
}
