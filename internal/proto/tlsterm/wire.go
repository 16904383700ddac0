package tlsterm

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"transom/internal/proto/sniff"
)

// A wire is the conn below TLS. It gives back what was read before TLS began,
// and notes what crypto/tls does not tell.
type wire struct {
	net.Conn
	prefix []byte
	eof    atomic.Bool
	now    func() time.Time // the clock; nil is time.Now

	// These belong to the handshake; afterwards they are only read.
	settled bool         // the handshake is over
	wrote   bool         // something was written
	asked   time.Time    // when the client had sent its hello
	written time.Time    // when we first answered
	keep    bool         // keep the first write: our ClientHello
	first   []byte       // it
	alerts  alertWatcher // of what was read
}

func (w *wire) Read(p []byte) (n int, err error) {
	if len(w.prefix) > 0 {
		n = copy(p, w.prefix)
		w.prefix = w.prefix[n:]
	} else if n, err = w.Conn.Read(p); err == io.EOF {
		w.eof.Store(true)
	}
	if !w.settled {
		w.alerts.watch(p[:n])
	}
	return n, err
}

// settle takes note that a handshake is over, and says why it failed with err:
// because the context ended, or of what was seen on the wire.
func (w *wire) settle(ctx context.Context, err error) error {
	w.settled = true
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return w.alerts.cause(err)
}

// hello takes out what we said first, as far as it could be read.
func (w *wire) hello() *sniff.Hello {
	r := sniff.Stream(w.first)
	w.first = nil
	if r.Hello == nil {
		return &sniff.Hello{}
	}
	return r.Hello
}

func (w *wire) Write(p []byte) (int, error) {
	if !w.wrote {
		w.wrote, w.written = true, w.clock()
		if w.keep {
			w.first = append(w.first, p...)
		}
	}
	return w.Conn.Write(p)
}

// patience is for how long a client is taken to be at the certificate: to wait
// for it without thinking of leaving, and to make up its mind about it.
const patience = 3 * time.Second

// late reports whether the client has waited for our answer, or has had it, for
// so long that leaving now says nothing about the certificate in it.
func (w *wire) late() bool {
	return w.wrote && (w.written.Sub(w.asked) > patience || w.clock().Sub(w.written) > patience)
}

func (w *wire) clock() time.Time {
	if w.now == nil {
		return time.Now()
	}
	return w.now()
}

// An alertWatcher looks for an alert that is not encrypted. OpenSSL's clients
// refuse a TLS 1.3 server's certificate with one: they turn to their handshake
// keys only later. crypto/tls then tries to decrypt it, and can only complain
// of a bad record MAC.
type alertWatcher struct {
	record [7]byte // the current record's header, and an alert's two bytes
	have   int     // bytes of it that are there
	skip   int     // bytes of the current record that do not matter
	alert  Alert
	seen   bool
}

// watch takes the next bytes of the stream.
func (w *alertWatcher) watch(p []byte) {
	const header, alert = 5, 21
	for len(p) > 0 {
		if n := min(w.skip, len(p)); n > 0 {
			w.skip, p = w.skip-n, p[n:]
			continue
		}
		w.record[w.have], p = p[0], p[1:]
		w.have++
		size := int(w.record[3])<<8 | int(w.record[4])
		switch {
		case w.have == header && (w.record[0] != alert || size != 2):
			w.have, w.skip = 0, size
		case w.have == len(w.record):
			w.have, w.seen, w.alert = 0, true, Alert(w.record[6])
		}
	}
}

// cause returns why a handshake failed with err, if an alert seen says better.
func (w *alertWatcher) cause(err error) error {
	const badRecordMAC, closeNotify = 20, 0
	if a, remote, _ := AlertOf(err); !w.seen || remote || a != badRecordMAC {
		return err
	}
	if w.alert == closeNotify {
		return io.EOF
	}
	return &net.OpError{Op: "remote error", Err: w.alert}
}
