package sniff

import (
	"fmt"

	"transom/flow"
)

// MaxHello bounds a ClientHello as it is on the wire, record headers included.
// Post-quantum hellos are near 2 KiB; anything near the bound is hostile.
const MaxHello = 64 << 10

const (
	recordHandshake  = 22
	recordHeader     = 5
	maxRecord        = 1 << 14 // RFC 8446, section 5.1: a plaintext record's payload
	typeClientHello  = 1
	handshakeHeader  = 4
	handshakeTypeEnd = recordHeader + 1 // bytes that decide whether it is TLS
)

// tlsStream answers for a stream that starts with a handshake record's type.
func tlsStream(p []byte) Result {
	if a := tlsStart(p); a != Yes {
		return Result{Answer: a}
	}
	r := Result{Answer: Yes, Layer: flow.Layer{Proto: "tls"}}
	size, err := helloSize(p)
	if err != nil {
		r.Err = err
		return r
	}
	if size == 0 {
		return r
	}
	r.Complete = true
	r.Hello, r.Err = ParseClientHello(joinRecords(p, size))
	r.Layer.TLS = &r.Hello.TLS
	r.Layer.Host = hostOf(r.Hello.TLS.ServerName)
	return r
}

// tlsStart judges the first six bytes: a plausible record header and the type
// of the handshake message in it. An SSLv2-compatible hello does not look so.
func tlsStart(p []byte) Answer {
	for i, b := range p[:min(len(p), handshakeTypeEnd)] {
		ok := true
		switch i {
		case 1:
			ok = b == 3
		case 2:
			ok = b <= 4
		case 3:
			ok = b <= maxRecord>>8
		case 4:
			n := int(p[3])<<8 | int(b)
			ok = n > 0 && n <= maxRecord
		case 5:
			ok = b == typeClientHello
		}
		if !ok {
			return No
		}
	}
	if len(p) < handshakeTypeEnd {
		return More
	}
	return Yes
}

// helloSize walks the records at the start of p and returns the size of the
// handshake message in them once it is whole, else 0. The message may be cut
// into records anywhere (RFC 8446, section 5.1).
func helloSize(p []byte) (int, error) {
	p = p[:min(len(p), MaxHello)]
	var head [handshakeHeader]byte
	have, need := 0, 0
	for at := 0; at < len(p); {
		body, next, err := record(p, at)
		if err != nil {
			return 0, err
		}
		for i := 0; i < len(body) && have+i < handshakeHeader; i++ {
			head[have+i] = body[i]
		}
		have += len(body)
		if need == 0 && have >= handshakeHeader {
			need = handshakeHeader + int(head[1])<<16 + int(head[2])<<8 + int(head[3])
			if need > MaxHello-recordHeader {
				return 0, fmt.Errorf("ClientHello of %d bytes: larger than %d", need, MaxHello-recordHeader)
			}
		}
		if need > 0 && have >= need {
			return need, nil
		}
		at = next
	}
	if len(p) == MaxHello {
		return 0, fmt.Errorf("ClientHello not complete within %d bytes", MaxHello)
	}
	return 0, nil
}

// record returns as much of the payload of the record at p[at] as is there,
// and where the next one starts.
func record(p []byte, at int) (body []byte, next int, err error) {
	h := p[at:]
	if h[0] != recordHandshake {
		return nil, 0, fmt.Errorf("ClientHello at byte %d: record of type %d inside it", at, h[0])
	}
	if len(h) > 1 && h[1] != 3 {
		return nil, 0, fmt.Errorf("ClientHello at byte %d: record version %d", at+1, h[1])
	}
	if len(h) < recordHeader {
		return nil, len(p), nil
	}
	n := int(h[3])<<8 | int(h[4])
	if n == 0 || n > maxRecord {
		return nil, 0, fmt.Errorf("ClientHello at byte %d: handshake record of %d bytes", at+3, n)
	}
	end := min(recordHeader+n, len(h))
	return h[recordHeader:end], at + recordHeader + n, nil
}

// joinRecords copies a message of size bytes out of the records that helloSize
// has checked.
func joinRecords(p []byte, size int) []byte {
	msg := make([]byte, 0, size)
	for at := 0; len(msg) < size; {
		n := int(p[at+3])<<8 | int(p[at+4])
		at += recordHeader
		take := min(n, size-len(msg))
		msg = append(msg, p[at:at+take]...)
		at += n
	}
	return msg
}

// hostOf returns a server name for people and rules: as sent if it is visible
// ASCII of a name's length, else "".
func hostOf(name string) string {
	if len(name) > 255 {
		return ""
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return ""
		}
	}
	return name
}
