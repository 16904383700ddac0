// Package capture turns every way of getting hold of traffic into one:
// connections that know where their client meant to go.
package capture

import (
	"context"
	"log/slog"
	"net"

	"transom/flow"
	"transom/platform"
)

// A Conn is one captured connection.
type Conn struct {
	net.Conn
	Info *flow.Conn

	// Direct says that the client meant us: it connected to our own address.
	// Info.Dst is then that address.
	Direct bool

	// Err, if set, says why the destination could not be learned. Such a
	// connection is for the record only; whoever accepts it closes it.
	Err error
}

// A Source yields captured connections. Not calling Accept is back-pressure.
type Source interface {
	// Accept waits for the next connection. After Close, and when ctx is done,
	// it returns net.ErrClosed or context.Cause(ctx). Failures that pass
	// (ECONNABORTED, EMFILE) are waited out inside and logged once.
	Accept(ctx context.Context) (*Conn, error)
	// Rest returns connections that have come and that nobody has accepted, no more
	// than some; it does not wait for others. It is called when Accept is not any more,
	// before Close: who has sent something and left has done so to us.
	Rest(most int) []*Conn
	// Addr is where it listens.
	Addr() net.Addr
	// Close stops listening. Connections that were accepted live on.
	Close() error
}

// A Capture describes a source; Open makes it flow. String identifies it
// across reloads.
type Capture interface {
	Open(ctx context.Context, env Env) (Source, error)
	String() string
}

// Env is what a capture may use of the world.
type Env struct {
	Host platform.Host
	Log  *slog.Logger
}
