package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"transom/platform/lab"
)

// A device is the phone. It takes the proxy's certificate from the gateway's
// page, and then uses the web as if there were no proxy.
type device struct {
	dial     func(ctx context.Context, a netip.AddrPort) (net.Conn, error)
	ipv6     bool
	ownRoots *x509.CertPool // what an app that trusts nobody else trusts

	trusted *x509.CertPool // with the proxy's authority
	wanted  map[string]int // flows that must have been recorded, by type
}

// A step is one thing the device does.
type step struct {
	what string // for a person
	ipv6 bool
	kind string // the type of the flow it makes; "" if the proxy answers itself
	do   func(ctx context.Context, server netip.Addr) (got string, err error)
}

func (d *device) steps() []step {
	form := url.Values{"user": {"me"}, "password": {"secret"}}.Encode()
	return []step{
		{"the gateway's page, for its certificate", false, "", d.learn},
		{"GET http://shop.example/", false, "http", d.get("http", "/", 200)},
		{"GET https://shop.example/cart", false, "http", d.get("https", "/cart", 200)},
		{"POST https://shop.example/login", false, "http", d.request("POST", "https", "/login", form, 204)},
		{"port 7007, where the server speaks first", false, "tcp", d.talk},
		{"GET http://shop.example/nothing", true, "http", d.get("http", "/nothing", 404)},
		{"GET https://shop.example/cart", true, "http", d.get("https", "/cart", 200)},
		{"https, from an app that trusts nobody else", false, "tls", d.distrust},
	}
}

// play goes through the steps and prints each with what came of it.
func (d *device) play(ctx context.Context, w io.Writer) error {
	d.wanted = map[string]int{}
	for _, s := range d.steps() {
		if s.ipv6 && !d.ipv6 {
			continue
		}
		server, what := netip.MustParseAddr(lab.ServerAddr4), s.what
		if s.ipv6 {
			server, what = netip.MustParseAddr(lab.ServerAddr6), s.what+", IPv6"
		}
		got, err := s.do(ctx, server)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("the phone asked for %s: %w", what, err)
		}
		if s.kind != "" {
			d.wanted[s.kind]++
		}
		if _, err := fmt.Fprintf(w, "  %-44s %s\n", what, got); err != nil {
			return err
		}
	}
	return nil
}

// learn fetches the proxy's certificate from the proxy, and trusts it.
func (d *device) learn(ctx context.Context, _ netip.Addr) (string, error) {
	gateway := netip.AddrPortFrom(netip.MustParseAddr(lab.LANAddr4), proxyPort)
	resp, body, err := d.exchange(ctx, gateway, nil, "GET", "http://"+gateway.String()+"/cert/pem", "")
	if err != nil {
		return "", err
	}
	if resp.StatusCode != 200 {
		return "", fmt.Errorf("the page answered %s", resp.Status)
	}
	d.trusted = x509.NewCertPool()
	if !d.trusted.AppendCertsFromPEM(body) {
		return "", errors.New("the page gave no certificate")
	}
	return fmt.Sprintf("%d bytes, and trusts it", len(body)), nil
}

func (d *device) get(scheme, path string, status int) func(context.Context, netip.Addr) (string, error) {
	return d.request("GET", scheme, path, "", status)
}

// request makes a request to the web server that must be answered by status.
func (d *device) request(method, scheme, path, body string, status int) func(context.Context, netip.Addr) (string, error) {
	return func(ctx context.Context, server netip.Addr) (string, error) {
		port := map[string]uint16{"http": 80, "https": 443}[scheme]
		resp, got, err := d.exchange(ctx, netip.AddrPortFrom(server, port), d.trusted, method, scheme+"://"+serverName+path, body)
		if err != nil {
			return "", err
		}
		if resp.StatusCode != status {
			return "", fmt.Errorf("it answered %s and not %d", resp.Status, status)
		}
		line := resp.Status
		if len(got) > 0 {
			line += fmt.Sprintf(", %d bytes", len(got))
		}
		if resp.TLS != nil {
			line += ", certificate by " + resp.TLS.PeerCertificates[0].Issuer.CommonName
		}
		return line, nil
	}
}

// exchange makes one request over a connection of its own to a given address,
// whatever the URL's host is: the demo has no DNS.
func (d *device) exchange(ctx context.Context, to netip.AddrPort, roots *x509.CertPool, method, url, body string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	tr := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx, to) },
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true,
	}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, got, err
}

// talk waits for the line service's greeting, and then says something.
func (d *device) talk(ctx context.Context, server netip.Addr) (string, error) {
	c, err := d.dial(ctx, netip.AddrPortFrom(server, linePort))
	if err != nil {
		return "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	in := bufio.NewReader(c)
	greeting, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("wait for the greeting: %w", err)
	}
	if _, err := io.WriteString(c, "hello\r\n"); err != nil {
		return "", err
	}
	answer, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("wait for the answer: %w", err)
	}
	return strings.TrimSpace(greeting) + "; " + strings.TrimSpace(answer), nil
}

// distrust is an app that has the real server's authority built in. It must
// refuse what the proxy shows it.
func (d *device) distrust(ctx context.Context, server netip.Addr) (string, error) {
	_, _, err := d.exchange(ctx, netip.AddrPortFrom(server, 443), d.ownRoots, "GET", "https://"+serverName+"/", "")
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return "refuses transom's certificate, as it should", nil
	case err != nil:
		return "", err
	}
	return "", errors.New("it was not intercepted")
}
