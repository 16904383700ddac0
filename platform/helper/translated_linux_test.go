package helper

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transom/internal/testnet"
	"transom/platform"
)

// TestTranslations: what firewalls begin to do, and stop to, is said once; what they
// did at the start is said by the proxy.
func TestTranslations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testnet.Log
		var lines []string
		var failed error
		looks := 0
		s := &server{
			charter: Charter{Steering: platform.Steering{Spoof: true}},
			o: ServeOptions{Translated: func(Charter) ([]string, error) {
				looks++
				return lines, failed
			}},
			log:          slog.New(slog.NewTextHandler(&log, nil)),
			translations: translations{turn: make(chan struct{}, 1)},
		}
		said := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			before := len(log.String())
			s.watchTranslations(t.Context())
			s.tests.Wait()
			if got := log.String()[before:]; (want == "") != (got == "") || !strings.Contains(got, want) || strings.Count(got, "\n") > 1 {
				t.Errorf("it says %q, want %q", got, want)
			}
		}
		said(0, "")
		if looks > 0 {
			t.Error("it looks though nothing is captured")
		}
		s.want, lines = on, []string{"table nat translates it"}
		s.awaitTranslations(t.Context())
		if looks != 1 {
			t.Errorf("%d looks when it has begun", looks)
		}
		said(0, "")
		said(translatedEvery, "")
		lines = append(lines, "table hide translates it")
		said(translatedEvery-1, "")
		said(1, "from now on table hide translates it")
		failed = errors.New("no room")
		said(translatedEvery, "")
		failed = nil
		said(translatedEvery, "")
		lines = lines[1:]
		said(translatedEvery, "no longer so: table nat translates it")
		s.charter.Steering.Spoof, lines = false, nil
		said(translatedEvery, "")
		if looks != 6 {
			t.Errorf("%d looks", looks)
		}
	})
}
