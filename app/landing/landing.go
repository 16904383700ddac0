// Package landing is the page that a device sees when it opens the proxy's own
// address: what this machine does to its traffic, and the authority's
// certificate in the form the device installs, with the steps to do so. It is
// one page without scripts or anything loaded from elsewhere, and it tells
// nothing about other devices or their traffic.
package landing

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"mime"
	"strings"
	"time"

	"transom/ca"
	"transom/exchange"
)

// downloads are the paths under which the certificate is offered.
var downloads = map[string]ca.Format{
	"/cert/pem":          ca.PEM,
	"/cert/cer":          ca.DER,
	"/cert/p12":          ca.PKCS12,
	"/cert/p12-legacy":   ca.PKCS12Legacy,
	"/cert/mobileconfig": ca.MobileConfig,
	"/cert/android":      ca.Android,
	"/cert/hashed":       ca.Hashed,
}

// Handler returns the handler of requests made to the proxy itself. It offers
// a's certificate and never its key. It answers GET and HEAD only, and does
// not read request bodies.
func Handler(a *ca.Authority) exchange.Handler {
	p := newPage(a)
	return exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
		resp, err := p.answer(req)
		if err != nil {
			return nil, err
		}
		resp.Header.Add("Date", time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
		if req.Method == "HEAD" {
			resp.Body = exchange.NoBody() // Content-Length stays what GET would say
		}
		return resp, nil
	})
}

func (p *page) answer(req *exchange.Request) (*exchange.Response, error) {
	if req.Method != "GET" && req.Method != "HEAD" {
		resp := p.html(405, p.problem("Not like that", "This page can only be read."))
		resp.Header.Add("Allow", "GET, HEAD")
		return resp, nil
	}
	path := requestPath(req.Target)
	if f, ok := downloads[path]; ok {
		return p.download(f)
	}
	if path == "/" {
		return p.html(200, p.welcome(req)), nil
	}
	return p.html(404, p.problem("Nothing here", "The proxy has no such page.")), nil
}

// requestPath returns the path of a request target, which may be in absolute
// form (RFC 9112, section 3.2), without its query.
func requestPath(target string) string {
	if _, rest, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") {
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		} else {
			target = "/"
		}
	}
	path, _, _ := strings.Cut(target, "?")
	if path == "" {
		return "/"
	}
	return path
}

// download answers with the certificate in format f.
func (p *page) download(f ca.Format) (*exchange.Response, error) {
	file, err := p.authority.Export(f)
	if err != nil {
		return nil, err
	}
	resp := exchange.Bytes(200, file.Type, file.Data)
	secure(resp, "default-src 'none'; sandbox")
	resp.Header.Add("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Name}))
	return resp, nil
}

// html answers with a page of ours.
func (p *page) html(status int, body string) *exchange.Response {
	resp := exchange.Bytes(status, "text/html; charset=utf-8", []byte(body))
	secure(resp, p.policy)
	// The page differs by platform, and by how it was reached.
	resp.Header.Add("Vary", "User-Agent")
	return resp
}

// reasons are those of the statuses that this package answers with.
var reasons = map[int]string{200: "OK", 404: "Not Found", 405: "Method Not Allowed"}

// secure completes the status line and adds the fields that keep a browser from making more of a response
// than it is, or from keeping it: it must show the certificate of now.
func secure(resp *exchange.Response, policy string) {
	resp.Reason = reasons[resp.Status]
	resp.Header.Add("Cache-Control", "no-store")
	resp.Header.Add("Content-Security-Policy", policy)
	resp.Header.Add("X-Content-Type-Options", "nosniff")
	resp.Header.Add("Referrer-Policy", "no-referrer")
}

// contentPolicy allows the one style sheet in the page and nothing else.
func contentPolicy() string {
	h := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
