package helper

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// translatedEvery is how often it is looked whether servers see the addresses that are
// assumed, and lookShare bounds the part of the time that this takes where there are
// many rules.
const (
	translatedEvery = 10 * time.Second
	lookShare       = 100
)

// translations are what firewalls make of the addresses that servers are to see, as
// far as it is known. Who has the turn may look at the rest.
type translations struct {
	turn  chan struct{}
	known []string
	begun bool
	next  time.Time
}

// watchTranslations looks beside everything else, now and then, while connections are
// captured.
func (s *server) watchTranslations(ctx context.Context) {
	t := &s.translations
	if s.o.Translated == nil || s.want != on || !s.charter.Steering.Spoof {
		return
	}
	select {
	case t.turn <- struct{}{}:
	default:
		return
	}
	began := time.Now()
	if began.Before(t.next) {
		<-t.turn
		return
	}
	s.tests.Go(func() {
		defer func() { <-t.turn }()
		now, err := s.o.Translated(s.charter)
		t.next = time.Now().Add(max(translatedEvery, lookShare*time.Since(began)))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.log.Debug("it is not known whether servers see the addresses that are assumed", "err", err)
		default:
			t.tell(s.log, now)
		}
	})
}

// awaitTranslations looks for the first time, and waits for it: what comes later is new
// to who has just begun.
func (s *server) awaitTranslations(ctx context.Context) {
	if s.o.Translated == nil || s.want != on || s.translated {
		return
	}
	s.translated = true
	s.watchTranslations(ctx)
	s.translations.turn <- struct{}{}
	<-s.translations.turn
}

// tell says what is new, and what is over. What there is at the start the proxy says.
func (t *translations) tell(log *slog.Logger, now []string) {
	before := t.known
	t.known = now
	if !t.begun {
		t.begun = true
		return
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			log.Warn("from now on " + line)
		}
	}
	for _, line := range before {
		if !slices.Contains(now, line) {
			log.Info("no longer so: " + line)
		}
	}
}
