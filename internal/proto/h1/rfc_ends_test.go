package h1_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transom/internal/proto/h1"
)

// TestRFC9112TruncatedRequests is section 8: a request whose client ended
// inside of it goes on as far as it came, without an end of its own making.
func TestRFC9112TruncatedRequests(t *testing.T) {
	for _, whole := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: v\r\n\r\n",
	} {
		head := strings.Index(whole, "\r\n\r\n") + 4
		for cut := 1; cut < len(whole); cut++ {
			for _, reset := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCRelay(t, rfcSetup{})
					defer r.finish()
					r.ask(whole[:cut])
					synctest.Wait()
					if reset {
						_ = r.client.SetLinger(0)
						r.client.Close()
					} else {
						_ = r.client.CloseWrite()
					}
					got, end := r.atOrigin.settled()
					if cut < head && got != "" || !strings.HasPrefix(whole[:cut], got) {
						t.Errorf("of %q the origin received %q", whole[:cut], got)
					}
					if end == nil {
						t.Errorf("after %q and the client's end the origin's connection is open", whole[:cut])
						return
					}
					if !r.over() {
						t.Errorf("after %q and the client's end (reset %v) Serve goes on", whole[:cut], reset)
						return
					}
					r.wantErr(true)
				})
			}
		}
	}
}

// TestRFC9112TruncatedResponsesStayTruncated is the same towards the client.
func TestRFC9112TruncatedResponsesStayTruncated(t *testing.T) {
	for _, whole := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: v\r\n\r\n",
	} {
		head := strings.Index(whole, "\r\n\r\n") + 4
		for cut := range len(whole) {
			for _, reset := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCRelay(t, rfcSetup{})
					defer r.finish()
					r.ask(rfcGet)
					synctest.Wait()
					r.answer(whole[:cut])
					synctest.Wait()
					if reset {
						_ = r.origin.SetLinger(0)
						r.origin.Close()
					} else {
						_ = r.origin.CloseWrite()
					}
					got, _ := r.atClient.settled()
					if cut < head && got != "" || !strings.HasPrefix(whole[:cut], got) {
						t.Errorf("of %q the client received %q", whole[:cut], got)
					}
					if at := strings.Index(whole[:cut], "hello"); at > 0 && len(got) < at+len("hello") {
						t.Errorf("of %q the client received only %q", whole[:cut], got)
					}
					r.wantEnded()
					r.wantErr(true)
				})
			}
		}
	}
}

// TestRFC9112ResetEndsNoBody checks that only FIN is an end (section 6.3): a
// response up to the end of the connection that is reset is not complete.
func TestRFC9112ResetEndsNoBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		rfcPlay(r, []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\n\r\nso far"}, false, false)
		_ = r.origin.SetLinger(0)
		r.origin.Close()
		r.wantClient("HTTP/1.1 200 OK\r\n\r\nso far")
		r.wantEnded()
		r.wantErr(true)
	})
}

// TestRFC9112ClientLeaves ends the exchange when the client is reset, wherever
// the exchange is.
func TestRFC9112ClientLeaves(t *testing.T) {
	for name, script := range map[string][]string{
		"idle":                   {">" + rfcGet, "<" + rfcOK},
		"waiting-for-the-origin": {">" + rfcGet},
		"in-a-response":          {">" + rfcGet, "<HTTP/1.1 200 OK\r\n\r\nso far"},
		"in-both":                {">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", "<HTTP/1.1 200 OK\r\n\r\nso far"},
		"in-a-tunnel":            {">CONNECT b:1 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, script, false, false)
				_ = r.client.SetLinger(0)
				r.client.Close()
				time.Sleep(time.Minute)
				if synctest.Wait(); !r.over() {
					t.Fatal("a minute after the client was gone Serve goes on")
				}
				if _, end := r.atOrigin.settled(); end == nil {
					t.Error("the origin's connection is open")
				}
			})
		})
	}
}

// TestRFC9112ClientNeverSpeaks ends without an error and without a word.
func TestRFC9112ClientNeverSpeaks(t *testing.T) {
	for _, said := range []string{"", "\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, rfcSetup{})
			defer r.finish()
			r.ask(said)
			_ = r.client.CloseWrite()
			r.wantClient("")
			r.wantOrigin("")
			r.wantEnded()
			r.wantErr(false)
		})
	}
}

// TestRFC9112TunnelHalfCloses checks that each side's FIN arrives as one, and
// leaves the other direction open.
func TestRFC9112TunnelHalfCloses(t *testing.T) {
	openings := map[string][2]string{
		"connect": {"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
		"upgrade": {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"},
	}
	for name, o := range openings {
		t.Run(name+"-client-first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, []string{">" + o[0], "<" + o[1], ">question", ">|"}, false, false)
				if _, end := r.atOrigin.settled(); !errors.Is(end, io.EOF) {
					t.Errorf("the origin saw %v", end)
				}
				r.wantServing()
				r.answer("answer")
				r.wantClient(o[1] + "answer")
				_ = r.origin.CloseWrite()
				if _, end := r.atClient.settled(); !errors.Is(end, io.EOF) {
					t.Errorf("the client saw %v", end)
				}
				r.wantEnded()
				r.wantErr(false)
			})
		})
		t.Run(name+"-origin-first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, []string{">" + o[0], "<" + o[1], "<bye", "<|"}, false, false)
				if _, end := r.atClient.settled(); !errors.Is(end, io.EOF) {
					t.Errorf("the client saw %v", end)
				}
				r.wantServing()
				r.ask("last words")
				r.wantOrigin(o[0] + "last words")
				_ = r.client.CloseWrite()
				r.wantEnded()
				r.wantErr(false)
			})
		})
		t.Run(name+"-client-had-closed-before", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				r.ask(o[0] + "early")
				_ = r.client.CloseWrite()
				synctest.Wait()
				r.answer(o[1] + "answer")
				r.wantOrigin(o[0] + "early")
				r.wantClient(o[1] + "answer")
				if _, end := r.atOrigin.settled(); !errors.Is(end, io.EOF) {
					t.Errorf("the origin saw %v", end)
				}
			})
		})
		t.Run(name+"-much-both-ways", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, []string{">" + o[0], "<" + o[1]}, false, false)
				much := strings.Repeat("GET / HTTP/1.1\r\n\r\n", 50000)
				go r.ask(much)
				go r.answer(much)
				r.wantOrigin(o[0] + much)
				r.wantClient(o[1] + much)
			})
		})
	}
}

// TestRFC9112OriginEndsWithoutAnAnswer gives the client nothing of our own.
func TestRFC9112OriginEndsWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		r.ask(rfcGet)
		synctest.Wait()
		_ = r.origin.CloseWrite()
		r.wantClient("")
		r.wantEnded()
		if !errors.Is(r.err, io.EOF) {
			t.Errorf("Serve returned %v", r.err)
		}
	})
}

// TestRFC9112StalledOrigin has an origin that answers early and reads no more.
func TestRFC9112StalledOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{
			stalled: true,
			options: h1.Options{IdleTimeout: time.Minute}, client: h1.ClientOptions{IdleTimeout: time.Minute},
		})
		defer r.finish()
		const early = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
		go r.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20))
		synctest.Wait()
		r.answer(early)
		r.wantClient(early)
		time.Sleep(time.Hour)
		r.wantEnded()
	})
}
