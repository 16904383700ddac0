package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// datagramSize is that of a full one of QUIC.
const datagramSize = 1200

// datagrams reports whether a job is done by UDP.
func (j job) datagrams() bool { return j.Proto == udp || j.Proto == dns }

// packets is a socket on which one datagram is answered after the other.
type packets struct {
	net.Conn
	say, hear []byte
}

func newPackets(c net.Conn, say []byte) *packets {
	return &packets{c, say, make([]byte, len(say)+1)}
}

// get sends a datagram and waits for the answer, which is it with a bit set.
func (p *packets) get() error {
	if err := p.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := p.Write(p.say); err != nil {
		return fmt.Errorf("send a datagram: %w", err)
	}
	n, err := p.Read(p.hear)
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if n != len(p.say) || !bytes.Equal(p.hear[3:n], p.say[3:]) {
		return fmt.Errorf("%d bytes came back of %d", n, len(p.say))
	}
	return nil
}

// query asks for an address (RFC 1035, section 4.1).
func query(name string) []byte {
	q := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1)
}

func listenUDP(ctx context.Context, port int) (*net.UDPConn, error) {
	lc := net.ListenConfig{}
	c, err := lc.ListenPacket(ctx, "udp4", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// answerPackets returns what comes, as an answer of DNS to what may be a query.
func answerPackets(c *net.UDPConn) error {
	for buf := make([]byte, 2*datagramSize); ; {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if n > 2 {
			buf[2] |= 0x80
		}
		if _, err := c.WriteToUDPAddrPort(buf[:n], from); err != nil {
			return err
		}
	}
}
