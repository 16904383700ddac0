package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A bench is one run of everything.
type bench struct {
	*world
	options  options
	peers    []peer
	ends     time.Time
	progress io.Writer
	each     func(m measure, peer string, round int, s sample) error // may be nil

	results []result
}

// A result is all rounds of one measure: a sample for each peer in each round.
type result struct {
	measure
	rounds [][]sample
}

// run goes through the measures. What it has no time left for it leaves out,
// and says so.
func (b *bench) run(ctx context.Context) error {
	for i, m := range b.options.measures {
		if time.Now().After(b.ends) {
			fmt.Fprintf(b.progress, "bench: %d measures left out after %v; see -limit\n", len(b.options.measures)-i, b.options.limit)
			break
		}
		r, err := b.measure(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		b.results = append(b.results, r)
	}
	return nil
}

// measure does the rounds of one measure, the peers taking turns. They are
// started for it anew, so that no measure depends on those before it.
func (b *bench) measure(ctx context.Context, m measure) (r result, err error) {
	r.measure = m
	proxies := make([]*proxy, len(b.peers))
	for i, p := range b.peers {
		if proxies[i], err = b.start(ctx, p, m); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, proxies[i].stop()) }()
	}
	rounds := b.options.rounds
	if m.once {
		rounds = 1
	}
	for n := range rounds {
		if n > 0 && time.Now().After(b.ends) {
			break
		}
		fmt.Fprintf(b.progress, "%s, round %d of %d\n", m.name, n+1, rounds)
		samples := make([]sample, len(proxies))
		for i, x := range proxies {
			if samples[i], err = b.sample(ctx, m, x); err != nil {
				return r, fmt.Errorf("%s: %w", x.name, err)
			}
			if b.each != nil {
				if err := b.each(m, x.name, n+1, samples[i]); err != nil {
					return r, err
				}
			}
		}
		r.rounds = append(r.rounds, samples)
	}
	return r, nil
}
