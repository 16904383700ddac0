package demo_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"transom/app/demo"
	"transom/internal/testnet/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestRun(t *testing.T) {
	labtest.New(t) // whether there can be one
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var out, errs bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Out: &out, Err: &errs})
	if err != nil {
		t.Fatalf("demo: %v\n%s\n%s", err, &out, &errs)
	}
	for _, want := range []string{
		`tcp dport \{ 80, 443, 7007 \} .* redirect to :8080`,
		`GET https://shop\.example/cart +200 OK, 54 bytes, certificate by transom`,
		`POST https://shop\.example/login +204 No Content`,
		`220 shop\.example is listening; 250 you said "hello"`,
		`refuses transom's certificate`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("nothing printed matches %q", want)
		}
	}
	_, flows, _ := strings.Cut(out.String(), "What transom saw of it:")
	for _, want := range []string{"http://shop.example/", "https://shop.example/cart", "https://shop.example/login", "7007"} {
		if !strings.Contains(flows, want) {
			t.Errorf("the flows do not show %q", want)
		}
	}
	if t.Failed() {
		t.Logf("printed:\n%s\nwarned:\n%s", &out, &errs)
	}
	if dev, err := os.ReadFile("/proc/thread-self/net/dev"); err != nil || strings.Contains(string(dev), "lan0") {
		t.Errorf("interfaces outside afterwards: %v\n%s", err, dev)
	}
}

func TestRunIsCutShort(t *testing.T) {
	labtest.New(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	at := func(text string) func(cancel func()) writer {
		return func(cancel func()) writer {
			return func(s string) error {
				if strings.Contains(s, text) {
					cancel()
				}
				return nil
			}
		}
	}
	for name, print := range map[string]func(cancel func()) writer{
		"before-it-begins":        func(cancel func()) writer { cancel(); return func(string) error { return nil } },
		"before-the-device-asks":  at("The phone asks"),
		"in-the-middle":           at("/cart"),
		"after-the-last-step":     at("that trusts nobody else"),
		"before-the-flows":        at("What transom saw"),
		"after-the-proxy-stopped": at("10.9.0.2:7007"),
	} {
		t.Run(name, func(t *testing.T) {
			enough := errors.New("seen enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			out := print(func() { cancel(enough) })
			if err := demo.Run(ctx, demo.Options{Out: out, Err: out}); !errors.Is(err, enough) {
				t.Errorf("error %v, want %v", err, enough)
			}
		})
	}
}

func TestRunCannotPrint(t *testing.T) {
	labtest.New(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	full := errors.New("no space left")
	out := writer(func(s string) error {
		if strings.Contains(s, "/cart") {
			return full
		}
		return nil
	})
	if err := demo.Run(t.Context(), demo.Options{Out: out, Err: out}); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
}

// A writer is a function that is given what is written.
type writer func(string) error

func (w writer) Write(p []byte) (int, error) { return len(p), w(string(p)) }
