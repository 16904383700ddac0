package transom_test

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
	"transom/message"
	"transom/policy"
)

var (
	nameServer = netip.MustParseAddrPort("203.0.113.53:53")
	udpServer  = netip.MustParseAddrPort("203.0.113.7:5000")
)

// echoUDP answers each datagram.
func echoUDP(c *testnet.Packets) {
	b := make([]byte, 65535)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte("re: "), b[:n]...)); err != nil {
			return
		}
	}
}

// query packs a question.
func query(t *testing.T, id uint16, name string) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reply packs an answer to a question: an address, or that there is no such name.
func reply(q []byte, address ...byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(q); err != nil {
		return []byte("?")
	}
	m.Response, m.RecursionAvailable = true, true
	if len(address) == 4 {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: [4]byte(address)},
		}}
	} else {
		m.RCode = dnsmessage.RCodeNameError
	}
	p, err := m.Pack()
	if err != nil {
		return []byte("?")
	}
	return p
}

// resolver answers queries after a while.
func resolver(c *testnet.Packets) {
	b := make([]byte, 65535)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
		if _, err := c.Write(reply(b[:n], 10, 0, 0, 1)); err != nil {
			return
		}
	}
}

func TestDatagramsAreRelayedAndRecorded(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, udpServer)
		for _, text := range []string{"one", "", strings.Repeat("x", 65000)} {
			w.say(c, text)
			w.hear(c, "re: "+text)
		}
		if f := w.only("udp"); f.State != flow.Open || f.Conn.Server == nil || f.Conn.Server.To != udpServer {
			t.Errorf("while it goes on: %+v, server %+v", f, f.Conn.Server)
		}
	})
}

func TestDatagramsEndInSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		say  []string
		idle time.Duration
	}{
		"one-exchange": {[]string{"a"}, 30 * time.Second},
		"a-stream":     {[]string{"a", "b"}, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.net.HandleUDP(udpServer, echoUDP)
				c := w.src.InjectUDP(clientAddr, udpServer)
				for _, s := range tt.say {
					w.say(c, s)
					w.hear(c, "re: "+s)
				}
				time.Sleep(tt.idle - time.Second)
				if f := w.only("udp"); f.State != flow.Open {
					t.Fatalf("it has ended early: %+v", f)
				}
				time.Sleep(2 * time.Second)
				f := w.only("udp")
				m := f.Detail.(*flow.Messages)
				n := int64(len(tt.say))
				if f.State != flow.Done || f.Err != "" || m.Count != [2]int64{n, n} || m.Bytes != [2]int64{n, 5 * n} || f.Duration() != tt.idle {
					t.Errorf("after %v: %+v %+v", f.Duration(), f, m)
				}
				if end := w.only("conn"); end.State != flow.Done || end.Conn.Network != "udp" || end.Detail.(*flow.Connection).Flows != 1 {
					t.Errorf("%+v", end)
				}
			})
		})
	}
}

func TestTimeoutsOfDatagramsCanBeSet(t *testing.T) {
	change := func(p *transom.Proxy) { p.Timeouts.UDP, p.Timeouts.UDPStream = time.Second, -1 }
	inWorld(t, change, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		once, stream := w.src.InjectUDP(clientAddr, udpServer), w.src.InjectUDP(netip.AddrPortFrom(clientAddr.Addr(), 50001), udpServer)
		w.say(once, "a")
		for range 2 {
			w.say(stream, "b")
			w.hear(stream, "re: b")
		}
		time.Sleep(time.Hour)
		if fs := w.flows("conn"); len(fs) != 1 || fs[0].Duration() != time.Second || fs[0].Conn.Client != clientAddr {
			t.Errorf("%d conversations have ended: %+v", len(fs), fs)
		}
	})
}

func TestDatagramsThatAreRefused(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "anybody?")
		f, end := w.only("udp"), w.only("conn")
		if want := "server refused: nobody is at that port"; f.Err != want || end.Err != want || end.Detail.(*flow.Connection).Server != flow.Refused {
			t.Errorf("%q, %q, %+v", f.Err, end.Err, end.Detail)
		}
	})
	inWorld(t, nil, func(w *world) {
		w.net.Fail(udpServer, syscall.ENETUNREACH)
		w.say(w.src.InjectUDP(clientAddr, udpServer), "anybody?")
		if end := w.only("conn"); end.State != flow.Failed || end.Detail.(*flow.Connection).Server != flow.Unreachable {
			t.Errorf("%+v %+v", end, end.Detail)
		}
	})
}

func TestClientThatHasLeftIsNoFailure(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(udpServer, func(c *testnet.Packets) {
			_, _ = c.Read(make([]byte, 10))
			for range 3 {
				time.Sleep(time.Second)
				_, _ = c.Write([]byte("late"))
			}
		})
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "hello")
		c.Close()
		time.Sleep(10 * time.Second)
		if f, end := w.only("udp"), w.only("conn"); f.State != flow.Done || end.State != flow.Done || end.Detail.(*flow.Connection).Client != flow.Refused {
			t.Errorf("%+v, %+v %+v", f, end, end.Detail)
		}
	})
}

func TestDNS(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(nameServer, resolver)
		c := w.src.InjectUDP(clientAddr, nameServer)
		q := query(t, 7, "shop.example.")
		want := reply(q, 10, 0, 0, 1)
		w.say(c, string(q))
		if f := w.only("dns"); f.State != flow.Open || f.Detail.(*flow.DNS).Answer != nil {
			t.Errorf("before the answer: %+v", f)
		}
		w.hear(c, string(want))
		f := w.only("dns")
		d := f.Detail.(*flow.DNS)
		if f.State != flow.Done || f.Duration() != 2*time.Millisecond || f.Conn.Last().Proto != "dns" || d.Notes != nil ||
			string(d.Query.Raw) != string(q) || string(d.Answer.Raw) != string(want) || d.Query.ID != 7 ||
			d.Query.Questions[0].Name != "shop.example" || d.Answer.Answers[0].Data != "10.0.0.1" {
			t.Errorf("%+v: %+v, %+v", f, d.Query, d.Answer)
		}
	})
}

func TestDNSInAnyOrder(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(nameServer, func(c *testnet.Packets) {
			var got [][]byte
			for len(got) < 4 {
				b := make([]byte, 512)
				n, err := c.Read(b)
				if err != nil {
					return
				}
				got = append(got, b[:n])
			}
			for _, i := range []int{3, 0, 2, 0} { // the last again, and of two equal ones one
				_, _ = c.Write(reply(got[i]))
			}
		})
		c := w.src.InjectUDP(clientAddr, nameServer)
		for _, q := range [][]byte{query(t, 1, "a."), query(t, 2, "b."), query(t, 2, "c."), query(t, 1, "a.")} {
			w.say(c, string(q))
		}
		time.Sleep(time.Second)
		var got []string
		for _, f := range w.flows("dns") {
			d := f.Detail.(*flow.DNS)
			line := "nobody"
			if d.Query != nil {
				line = d.Query.Questions[0].Name
			}
			if d.Answer != nil {
				line += " " + flow.RCodeName(d.Answer.RCode)
			}
			got = append(got, line+" "+strings.Join(d.Notes, ","))
		}
		for _, want := range []string{
			"a NXDOMAIN asked again", "b ", "c NXDOMAIN ",
			"nobody NXDOMAIN no query waits for this answer",
		} {
			found := false
			for _, g := range got {
				found = found || g == want
			}
			if !found {
				t.Errorf("no %q in %q", want, got)
			}
		}
		time.Sleep(time.Minute)
		for _, f := range w.flows("dns") {
			if d := f.Detail.(*flow.DNS); d.Query != nil && d.Query.Questions[0].Name == "b" && (f.State != flow.Failed || f.Err != "no answer came") {
				t.Errorf("unanswered: %+v", f)
			}
		}
	})
}

func TestWhatIsNoDNSIsRecordedAsItCame(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(nameServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, nameServer)
		w.say(c, "GET / HTTP/1.0\r\n\r\n")
		w.hear(c, "re: GET / HTTP/1.0\r\n\r\n")
		time.Sleep(time.Minute)
		if f := w.only("udp"); f.Detail.(*flow.Messages).Count != [2]int64{1, 1} {
			t.Errorf("%+v", f.Detail)
		}
		if fs := w.flows("dns"); len(fs) != 0 {
			t.Errorf("%d queries", len(fs))
		}
	})
}

// framed puts the length before a message (RFC 1035, section 4.2.2).
func framed(p []byte) string {
	return string(append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...))
}

func TestDNSOverTCP(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.Handle(nameServer, func(c *testnet.Conn) {
			for {
				var n [2]byte
				if _, err := io.ReadFull(c, n[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(n[:]))
				if _, err := io.ReadFull(c, q); err != nil {
					return
				}
				if _, err := io.WriteString(c, framed(reply(q, 10, 0, 0, 2))); err != nil {
					return
				}
			}
		})
		c := w.dial(nameServer)
		a, b := query(t, 1, "a.example."), query(t, 2, "b.example.")
		both := framed(a) + framed(b)
		w.say(c, both[:1])
		synctest.Wait()
		w.say(c, both[1:40])
		synctest.Wait()
		w.say(c, both[40:])
		w.hear(c, framed(reply(a, 10, 0, 0, 2))+framed(reply(b, 10, 0, 0, 2)))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := w.hearEnd(c); rest != "" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		fs := w.flows("dns")
		if len(fs) != 2 || fs[0].Conn.Last().Proto != "dns" {
			t.Fatalf("%d queries, %+v", len(fs), fs)
		}
		for _, f := range fs {
			if d := f.Detail.(*flow.DNS); f.State != flow.Done || d.Answer.Answers[0].Data != "10.0.0.2" {
				t.Errorf("%+v", f)
			}
		}
		if fs := w.flows("tcp"); len(fs) != 0 {
			t.Errorf("%d raw streams as well", len(fs))
		}
	})
}

func TestWhatIsNoDNSOverTCP(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.Handle(nameServer, func(c *testnet.Conn) { _, _ = io.Copy(c, c) })
		c := w.dial(nameServer)
		w.say(c, "\x00\x05hello\x00\x03abcd")
		w.hear(c, "\x00\x05hello\x00\x03abcd")
		w.say(c, "more")
		w.hear(c, "more")
		c.Close()
		f := w.only("tcp")
		if m := f.Detail.(*flow.Messages); m.Bytes[0] < 12 || f.State != flow.Done {
			t.Errorf("%+v %+v", f, m)
		}
	})
}

// verdicts answers by port.
type verdicts map[uint16]policy.Verdict

func (v verdicts) Decide(c *flow.Conn) policy.Verdict { return v[c.Dst.Port()] }

func TestPolicyOfDatagrams(t *testing.T) {
	v := verdicts{53: {Action: policy.Record, Reason: "raw"}, 5000: {Action: policy.Pass, Reason: "passed"}, 5001: {Action: policy.Block, Reason: "no"}}
	inWorld(t, func(p *transom.Proxy) { p.Settings.Policy = v }, func(w *world) {
		for port := range v {
			w.net.HandleUDP(netip.AddrPortFrom(udpServer.Addr(), port), echoUDP)
		}
		at := func(port uint16) *testnet.Packets {
			return w.src.InjectUDP(netip.AddrPortFrom(clientAddr.Addr(), port), netip.AddrPortFrom(udpServer.Addr(), port))
		}
		recorded, passed, blocked := at(53), at(5000), at(5001)
		q := string(query(t, 1, "a."))
		for _, c := range []*testnet.Packets{recorded, passed} {
			w.say(c, q)
			w.hear(c, "re: "+q)
		}
		for range 5 {
			w.say(blocked, "x")
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Minute)
		if f := w.only("udp"); f.Conn.Dst.Port() != 53 {
			t.Errorf("%+v", f)
		}
		want := map[uint16]string{53: "raw", 5000: "passed", 5001: "blocked: no"}
		for _, f := range w.flows("conn") {
			c := f.Detail.(*flow.Connection)
			port := f.Conn.Dst.Port()
			if c.Reason != want[port] || c.Action != v[port].Action.String() {
				t.Errorf("port %d: %+v", port, c)
			}
			delete(want, port)
		}
		if len(want) != 0 || len(w.flows("conn")) != 3 {
			t.Errorf("left %v of %d", want, len(w.flows("conn")))
		}
	})
}

func TestDatagramsMeantForUs(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.src.InjectUDP(clientAddr, proxyAddr)
		if end := w.only("conn"); end.State != flow.Failed || len(w.net.Targets()) != 0 {
			t.Errorf("%+v, dialled %v", end, w.net.Targets())
		}
	})
}

func TestDatagramsAtTheEnd(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		w.net.HandleUDP(nameServer, resolver)
		stream, dns := w.src.InjectUDP(clientAddr, udpServer), w.src.InjectUDP(clientAddr, nameServer)
		for range 2 {
			w.say(stream, "a")
			w.hear(stream, "re: a")
		}
		q := query(t, 1, "a.")
		w.say(dns, string(q))
		w.hear(dns, string(reply(q, 10, 0, 0, 1)))
		begun := time.Now()
		w.end()
		if since := time.Since(begun); since > time.Second {
			t.Errorf("it took %v to end", since)
		}
		if log := w.logged.String(); strings.Contains(log, "cut") {
			t.Errorf("logged %s", log)
		}
	})
}

// TestDatagramsEndAtOnce has no query wait for an answer, and a stream that is to be
// silent for less than a second.
func TestDatagramsEndAtOnce(t *testing.T) {
	const silence = 10 * time.Millisecond
	inWorld(t, func(p *transom.Proxy) { p.Timeouts.UDPDrain = silence }, func(w *world) {
		w.net.HandleUDP(nameServer, resolver)
		dns := w.src.InjectUDP(clientAddr, nameServer)
		q := query(t, 1, "a.")
		w.say(dns, string(q))
		w.hear(dns, string(reply(q, 10, 0, 0, 1)))
		synctest.Wait()
		begun := time.Now()
		w.end()
		if since := time.Since(begun); since >= silence {
			t.Errorf("it took %v to end", since)
		}
	})
	inWorld(t, func(p *transom.Proxy) { p.Timeouts.UDPDrain = silence }, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "a")
		w.hear(c, "re: a")
		begun := time.Now()
		w.end()
		if since := time.Since(begun); since > silence {
			t.Errorf("it took %v to end", since)
		}
	})
}

func TestInjectDatagram(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "a")
		w.hear(c, "re: a")
		f := w.only("udp")
		if err := w.proxy.Inject(t.Context(), f.ID, message.Message{Dir: message.ToClient, Payload: []byte("from outside")}); err != nil {
			t.Fatal(err)
		}
		w.hear(c, "from outside")
	})
}
