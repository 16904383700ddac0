package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
)

const (
	noError      = http2.ErrCodeNo
	protocol     = http2.ErrCodeProtocol
	flowControl  = http2.ErrCodeFlowControl
	closedStream = http2.ErrCodeStreamClosed
	frameSize    = http2.ErrCodeFrameSize
	refused      = http2.ErrCodeRefusedStream
	cancelled    = http2.ErrCodeCancel
	compression  = http2.ErrCodeCompression
	calm         = http2.ErrCodeEnhanceYourCalm
)

const (
	endStream  = http2.FlagHeadersEndStream
	endHeaders = http2.FlagHeadersEndHeaders
	padded     = http2.FlagHeadersPadded
	priority   = http2.FlagHeadersPriority
)

// A rfcBreach is what a peer does that ends the connection, after SETTINGS have
// been exchanged. The first code is the RFC's, the others it allows.
type rfcBreach struct {
	name  string
	do    func(p *rfcPeer)
	codes []http2.ErrCode
}

func raw(typ http2.FrameType, flags http2.Flags, id uint32, payload string) func(*rfcPeer) {
	return func(p *rfcPeer) { p.raw(typ, flags, id, payload) }
}

func codes(c ...http2.ErrCode) []http2.ErrCode { return c }

// steps does one thing after the other.
func steps(all ...func(*rfcPeer)) func(*rfcPeer) {
	return func(p *rfcPeer) {
		for _, do := range all {
			do(p)
			p.settle()
		}
	}
}

// open begins a request, or a response, and leaves it open; get ends it.
func open(id uint32) func(*rfcPeer) {
	return func(p *rfcPeer) {
		if p.serves {
			p.head(id, false, ":status=200")
		} else {
			p.head(id, false, rfcPost...)
		}
	}
}
func get(id uint32) func(*rfcPeer) { return func(p *rfcPeer) { p.head(id, true, rfcGet...) } }

// part is a HEADERS frame without END_HEADERS.
func part(id uint32) func(*rfcPeer) {
	return func(p *rfcPeer) { p.raw(http2.FrameHeaders, endStream, id, string(p.encode(rfcGet...))) }
}

// rfcBreaches are the connection errors that either endpoint has to detect and
// that need no stream.
var rfcBreaches = []rfcBreach{
	{"4.2-data-too-large", steps(open(1), raw(http2.FrameData, 0, 1, strings.Repeat("x", 1<<14+1))), codes(frameSize)},
	{"4.2-headers-too-large", raw(http2.FrameHeaders, endHeaders|endStream, 1, strings.Repeat("x", 1<<14+1)), codes(frameSize)},
	{"4.2-unknown-too-large", raw(0x60, 0, 0, strings.Repeat("x", 1<<14+1)), codes(frameSize)},
	{"4.2-settings-too-large", raw(http2.FrameSettings, 0, 0, strings.Repeat("\x00\x01\x00\x00\x10\x00", 2731)), codes(frameSize)},
	{"4.2-length-of-16-mib", func(p *rfcPeer) { p.patient(); _, _ = p.c.Write([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01")) }, codes(frameSize)},
	{"6.1-data-on-0", raw(http2.FrameData, 0, 0, "x"), codes(protocol)},
	{"6.2-headers-on-0", raw(http2.FrameHeaders, endHeaders, 0, "\x82"), codes(protocol)},
	{"6.3-priority-on-0", raw(http2.FramePriority, 0, 0, "\x00\x00\x00\x01\x05"), codes(protocol)},
	{"6.4-reset-on-0", raw(http2.FrameRSTStream, 0, 0, "\x00\x00\x00\x08"), codes(protocol)},
	{"6.4-reset-of-idle", raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08"), codes(protocol)},
	{"6.4-reset-too-short", steps(open(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x08")), codes(frameSize)},
	{"6.4-reset-too-long", steps(open(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08\x00")), codes(frameSize)},
	{"6.5-ack-with-payload", raw(http2.FrameSettings, http2.FlagSettingsAck, 0, "\x00\x01\x00\x00\x10\x00"), codes(frameSize)},
	{"6.5-settings-on-1", raw(http2.FrameSettings, 0, 1, ""), codes(protocol)},
	{"6.5-settings-of-5", raw(http2.FrameSettings, 0, 0, "\x00\x01\x00\x00\x10"), codes(frameSize)},
	{"6.5.2-window-too-large", raw(http2.FrameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00"), codes(flowControl)},
	{"6.5.2-frame-size-too-small", raw(http2.FrameSettings, 0, 0, "\x00\x05\x00\x00\x3f\xff"), codes(protocol)},
	{"6.5.2-frame-size-too-large", raw(http2.FrameSettings, 0, 0, "\x00\x05\x01\x00\x00\x00"), codes(protocol)},
	{"6.7-ping-on-1", raw(http2.FramePing, 0, 1, "12345678"), codes(protocol)},
	{"6.7-ping-of-7", raw(http2.FramePing, 0, 0, "1234567"), codes(frameSize)},
	{"6.7-ping-of-9", raw(http2.FramePing, 0, 0, "123456789"), codes(frameSize)},
	{"6.8-goaway-on-1", raw(http2.FrameGoAway, 0, 1, "\x00\x00\x00\x00\x00\x00\x00\x00"), codes(protocol)},
	{"6.8-goaway-of-7", raw(http2.FrameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00"), codes(frameSize)},
	{"6.9-no-increment-on-0", raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00"), codes(protocol)},
	{"6.9-update-of-3", raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x01"), codes(frameSize)},
	{"6.9-update-of-5", raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01\x00"), codes(frameSize)},
	{"6.9.1-window-of-connection-overflows", raw(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"), codes(flowControl)},
	{"6.10-continuation-on-0", raw(http2.FrameContinuation, endHeaders, 0, "\x82"), codes(protocol)},
	{"6.10-continuation-of-nothing", raw(http2.FrameContinuation, endHeaders, 1, "\x82"), codes(protocol)},
}

// rfcServerBreaches are those of a client.
var rfcServerBreaches = []rfcBreach{
	{"4.3-block-that-is-none", raw(http2.FrameHeaders, endHeaders|endStream, 1, "\x40"), codes(compression)},
	{"4.3-priority-inside-block", steps(part(1), raw(http2.FramePriority, 0, 1, "\x00\x00\x00\x00\x05")), codes(protocol)},
	{"4.3-headers-inside-block", steps(part(1), get(3)), codes(protocol)},
	{"4.3-data-inside-block", steps(part(1), raw(http2.FrameData, 0, 1, "x")), codes(protocol)},
	{"4.3-settings-inside-block", steps(part(1), raw(http2.FrameSettings, 0, 0, "")), codes(protocol)},
	{"4.3-ping-inside-block", steps(part(1), raw(http2.FramePing, 0, 0, "12345678")), codes(protocol)},
	{"4.3-window-inside-block", steps(part(1), raw(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x01")), codes(protocol)},
	{"4.3-reset-inside-block", steps(part(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")), codes(protocol)},
	{"4.3-goaway-inside-block", steps(part(1), raw(http2.FrameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00")), codes(protocol)},
	{"4.3-second-headers-inside-block", steps(part(1), raw(http2.FrameHeaders, endHeaders|endStream, 1, "")), codes(protocol)},
	{"5.5-unknown-inside-block", steps(part(1), raw(0x60, 0, 1, "")), codes(protocol)},
	{"6.10-continuation-of-another", steps(part(1), raw(http2.FrameContinuation, endHeaders, 3, "")), codes(protocol)},
	{"6.10-continuation-after-end-of-headers", steps(open(1), raw(http2.FrameContinuation, endHeaders, 1, "")), codes(protocol)},
	{"6.10-continuation-after-continuation", steps(part(1), raw(http2.FrameContinuation, endHeaders, 1, ""), raw(http2.FrameContinuation, endHeaders, 1, "")), codes(protocol)},
	{"6.10-continuation-after-data", steps(open(1), raw(http2.FrameData, 0, 1, "x"), raw(http2.FrameContinuation, endHeaders, 1, "")), codes(protocol)},
	{"5.1-data-on-idle", raw(http2.FrameData, 0, 1, "x"), codes(protocol)},
	{"5.1-window-on-idle", raw(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x01"), codes(protocol)},
	{"5.1-data-on-idle-above", steps(get(1), raw(http2.FrameData, 0, 3, "x")), codes(protocol)},
	{"5.1-reset-on-idle-above", steps(get(1), raw(http2.FrameRSTStream, 0, 3, "\x00\x00\x00\x08")), codes(protocol)},
	{"5.1-window-on-idle-even", steps(get(1), raw(http2.FrameWindowUpdate, 0, 2, "\x00\x00\x00\x01")), codes(protocol)},
	{"5.1-data-on-idle-even", steps(get(1), raw(http2.FrameData, 0, 2, "x")), codes(protocol)},
	{"5.1.1-even-number", get(2), codes(protocol)},
	{"5.1.1-number-below", steps(get(5), get(3)), codes(protocol, closedStream)},
	{"6.1-padding-of-all", steps(open(1), raw(http2.FrameData, padded, 1, "\x05xxxx")), codes(protocol)},
	{"6.1-padding-of-exactly-all-and-one", steps(open(1), raw(http2.FrameData, padded, 1, "\x01")), codes(protocol)},
	{"6.1-padded-and-empty", steps(open(1), raw(http2.FrameData, padded, 1, "")), codes(frameSize, protocol)},
	{"6.2-padding-of-all", raw(http2.FrameHeaders, endHeaders|padded, 1, "\x05\x82"), codes(protocol)},
	{"6.2-padded-and-empty", raw(http2.FrameHeaders, endHeaders|padded, 1, ""), codes(frameSize, protocol)},
	{"6.2-priority-cut", raw(http2.FrameHeaders, endHeaders|priority, 1, "\x00\x00\x00\x01"), codes(frameSize, protocol)},
	{"6.2-padding-over-priority", raw(http2.FrameHeaders, endHeaders|priority|padded, 1, "\x03\x00\x00\x00\x00\x10\x82\x82"), codes(protocol)},
	{"6.5.2-push-of-2", raw(http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x02"), codes(protocol)},
	{"6.6-promise-by-client", raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x02\x82"), codes(protocol)},
	{"6.6-promise-by-client-on-open", steps(open(1), raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x02\x82")), codes(protocol)},
	{"8441-3-connect-protocol-of-2", raw(http2.FrameSettings, 0, 0, "\x00\x08\x00\x00\x00\x02"), codes(protocol)},
	{"9218-7.1-priority-update-on-1", steps(open(1), raw(0x10, 0, 1, "\x00\x00\x00\x01u=1")), codes(protocol)},
	{"9218-7.1-priority-update-of-0", raw(0x10, 0, 0, "\x00\x00\x00\x00u=1"), codes(protocol)},
	{"9218-7.1-priority-update-cut", raw(0x10, 0, 0, "\x00\x00\x00"), codes(frameSize, protocol)},
}

// TestRFC9113ServerEndsConnection has a client break the rules of connections.
func TestRFC9113ServerEndsConnection(t *testing.T) {
	for _, c := range append(rfcBreaches[:len(rfcBreaches):len(rfcBreaches)], rfcServerBreaches...) {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				c.do(w.client)
				w.client.wantGoAway(c.codes...)
				w.wantBroken(c.codes...)
			})
		})
	}
}

// wantBroken checks that Serve has returned a *ConnError.
func (w *rfcServer) wantBroken(codes ...http2.ErrCode) {
	w.t.Helper()
	var e *h2.ConnError
	if !w.over || !errors.As(w.err, &e) {
		w.t.Errorf("Serve: over %v, error %v, want a *ConnError", w.over, w.err)
		return
	}
	for _, c := range codes {
		if uint32(c) == uint32(e.Code) {
			return
		}
	}
	w.t.Errorf("Serve: %v (%v), want %v", e, e.Code, codes)
}

// TestRFC9113Prefaces is section 3.4.
func TestRFC9113Prefaces(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		said string
		good bool
	}{
		"good":               {http2.ClientPreface + settings, true},
		"another":            {"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + settings, false},
		"first-octet-wrong":  {"X" + http2.ClientPreface[1:] + settings, false},
		"last-octet-wrong":   {http2.ClientPreface[:23] + "X" + settings, false},
		"no-settings":        {http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", false},
		"ack-for-settings":   {http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00", false},
		"headers-before":     {http2.ClientPreface + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82", false},
		"settings-on-stream": {http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x01", false},
		"tls":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 100), false},
	} {
		for _, cut := range []int{0, 1, 3, 23, 24} {
			t.Run(fmt.Sprint(name, "-", cut), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rfcPreface(t, c.said[:cut], c.said[cut:], c.good) })
			})
		}
	}
}

func rfcPreface(t *testing.T, first, then string, good bool) {
	w := newServer(t, rfcOK, h2.Options{})
	defer w.finish()
	w.client.mute = true
	_, _ = io.WriteString(w.client.c, first)
	synctest.Wait()
	_, _ = io.WriteString(w.client.c, then)
	if good {
		w.client.wantAlive()
		if f := w.client.frames; len(f) == 0 || f[0].Type != http2.FrameSettings || f[0].text == "ACK" {
			t.Errorf("the server's first frame: %v", f)
		}
		return
	}
	if w.client.settle(); !w.over || w.err == nil {
		t.Errorf("Serve over %v, error %v", w.over, w.err)
	}
}

// TestRFC9113PrefaceReadBefore gives the server what a sniffer has read.
func TestRFC9113PrefaceReadBefore(t *testing.T) {
	all := http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x06\x00\x00\x00\x00\x00alive??!"
	for cut := range len(all) + 1 {
		synctest.Test(t, func(t *testing.T) {
			client, near := rfcPipe()
			p := newPeer(t, client, false)
			srv := h2.NewServer(near, []byte(all[:cut]), exchange.HandlerFunc(rfcOK), h2.Options{})
			done := make(chan error, 1)
			go func() { done <- srv.Serve(context.Background()); near.Close() }()
			_, _ = io.WriteString(client, all[cut:])
			synctest.Wait()
			if got := p.texts(http2.FramePing); len(got) != 1 {
				t.Errorf("cut at %d: PING %q", cut, got)
			}
			client.Close()
			<-done
		})
	}
}

// TestRFC9113WhatIsIgnored are things that end nothing.
func TestRFC9113WhatIsIgnored(t *testing.T) {
	for name, do := range map[string]func(p *rfcPeer){
		"4.1-unknown-type":              raw(0x60, 0xff, 0, "12345678"),
		"4.1-unknown-type-on-idle":      raw(0x60, 0xff, 9, "12345678"),
		"4.1-unknown-type-on-open":      steps(open(1), raw(0x60, 0xff, 1, "12345678")),
		"4.1-undefined-flags-of-ping":   raw(http2.FramePing, 0xfe, 0, "flags..."),
		"4.1-undefined-flags-of-window": raw(http2.FrameWindowUpdate, 0xff, 0, "\x00\x00\x00\x01"),
		"4.1-reserved-bit":              func(p *rfcPeer) { _, _ = p.c.Write([]byte("\x00\x00\x08\x06\x00\x80\x00\x00\x00reserved")) },
		"4.1-reserved-bit-of-window":    raw(http2.FrameWindowUpdate, 0, 0, "\x80\x00\x00\x01"),
		"5.1-priority-on-idle":          raw(http2.FramePriority, 0, 9, "\x00\x00\x00\x01\x05"),
		"5.1-priority-on-closed":        steps(get(1), raw(http2.FramePriority, 0, 1, "\x00\x00\x00\x03\x05")),
		"5.1-priority-on-even":          raw(http2.FramePriority, 0, 2, "\x00\x00\x00\x01\x05"),
		"5.1-window-on-closed":          steps(get(1), raw(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x01")),
		"5.1-reset-on-closed":           steps(get(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")),
		"5.1-reset-twice":               steps(open(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08"), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")),
		"6.5.2-unknown-setting":         raw(http2.FrameSettings, 0, 0, "\x00\xff\x00\x00\x00\x01"),
		"6.5.2-grease-setting":          raw(http2.FrameSettings, 0, 0, "\x1a\x1a\xff\xff\xff\xff"),
		"6.5-empty-settings":            raw(http2.FrameSettings, 0, 0, ""),
		"6.7-pong-nobody-asked-for":     raw(http2.FramePing, http2.FlagPingAck, 0, "12345678"),
		"6.9-largest-window":            raw(http2.FrameWindowUpdate, 0, 0, "\x7f\xff\x00\x00"),
		"7-unknown-code":                steps(open(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\xff")),
		"9218-priority-update":          steps(open(1), raw(0x10, 0, 0, "\x00\x00\x00\x01u=1, i")),
		"9218-priority-update-of-idle":  raw(0x10, 0, 0, "\x00\x00\x00\x09u=1, i"),
		"8336-origin-by-client":         raw(0x0c, 0, 0, "\x00\x05https"),
		"7838-altsvc-by-client":         raw(0x0a, 0, 0, "\x00\x00h3=\":1\""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				do(w.client)
				w.client.wantAlive()
				w.client.head(11, true, rfcGet...)
				w.client.wantStream(11, ":status=200|ok|END")
			})
		})
	}
}
