package view

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// jwt prints the parts of a JSON Web Token, decoded (RFC 7519; RFC 7515,
// section 7.1). Whether the signature is right is not looked at, and that is said.
func jwt(p *printer, body []byte) error {
	body = bytes.TrimSpace(body)
	parts := bytes.Split(body, []byte("."))
	if len(parts) != 3 && len(parts) != 5 {
		return faultAt(0, "%d parts, and a token has 3, or 5 if it is encrypted", len(parts))
	}
	head, err := unbase64(parts[0])
	if err != nil || !isJSON(head) {
		return faultAt(0, "its first part is no JSON")
	}
	p.note(Note, "the signature is not verified")
	p.heading("header")
	p.inside(About{}, head)
	if len(parts) == 5 {
		for i, name := range []string{"encrypted key", "initialization vector", "ciphertext", "authentication tag"} {
			p.pair(name, String, string(parts[i+1]))
		}
		return nil
	}
	payload, err := unbase64(parts[1])
	if err != nil {
		return faultAt(len(parts[0])+1, "%v", err)
	}
	p.heading("payload")
	p.inside(About{Cut: p.about.Cut}, payload)
	p.times(payload)
	if len(parts[2]) > 0 {
		p.pair("signature", String, string(parts[2]))
	}
	return nil
}

func (p *printer) heading(name string) {
	p.put(Key, name)
	p.put(Plain, ":")
	p.end()
}

// times prints when a token begins and ends to hold.
func (p *printer) times(payload []byte) {
	var claims struct{ Iat, Nbf, Exp json.Number }
	if json.Unmarshal(payload, &claims) != nil {
		return
	}
	for _, c := range []struct {
		name string
		at   json.Number
	}{{"issued", claims.Iat}, {"not before", claims.Nbf}, {"expires", claims.Exp}} {
		if v, err := strconv.ParseFloat(string(c.at), 64); err == nil && math.Abs(v) < 1<<40 {
			p.pair(c.name, Note, time.Unix(int64(v), 0).UTC().Format(time.RFC3339))
		}
	}
}

// isJWT reports whether body is three words in base64url, of which the first
// begins as JSON does.
func isJWT(body []byte) bool {
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("eyJ")) || len(body) > 1<<16 {
		return false
	}
	dots := 0
	for _, c := range body {
		switch {
		case c == '.':
			dots++
		case c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			return false
		}
	}
	return dots == 2 || dots == 4
}

func unbase64(b []byte) ([]byte, error) {
	b = bytes.TrimRight(b, "=")
	out := make([]byte, base64.RawURLEncoding.DecodedLen(len(b)))
	n, err := base64.RawURLEncoding.Decode(out, b)
	return out[:n], err
}
