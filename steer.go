package transom

import (
	"context"
	"fmt"
	"net"
	"time"

	"transom/capture"
	"transom/platform"
)

// unsteerWithin bounds what is done to the host at the end, which the kernel
// does in milliseconds.
const unsteerWithin = 10 * time.Second

// steering is the desired state, with the port that was opened.
func (p *Proxy) steering(sources []capture.Source) platform.Steering {
	s := p.Steering
	if a, ok := sources[0].Addr().(*net.TCPAddr); ok && s.Port == 0 {
		s.Port = uint16(a.Port)
	}
	return s
}

// steer makes the host bring connections, if that is wanted. What it returns
// takes all of it back; it is for when no connection is open any more, since
// the answers to ours may be diverted to us until then.
func (p *Proxy) steer(ctx context.Context, sources []capture.Source) (unsteer func() error, err error) {
	if p.Steering.IsZero() {
		return func() error { return nil }, nil
	}
	if err := p.Host.Apply(ctx, p.steering(sources)); err != nil {
		return nil, fmt.Errorf("steer connections to transom: %w", err)
	}
	return func() error {
		return p.apply(platform.Steering{}, "put the host back as it was")
	}, nil
}

// drain stops the capturing before the listeners close: what comes from now on
// goes direct.
func (p *Proxy) drain(sources []capture.Source) error {
	if p.Steering.IsZero() {
		return nil
	}
	s := p.steering(sources)
	s.Draining = true
	return p.apply(s, "stop capturing")
}

// apply is for the end, when the context of Run is done.
func (p *Proxy) apply(s platform.Steering, what string) error {
	ctx, cancel := context.WithTimeout(context.Background(), unsteerWithin)
	defer cancel()
	if err := p.Host.Apply(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
