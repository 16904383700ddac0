package h1_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"transom/exchange"
	"transom/internal/proto/h1"
)

// browserHead is what a browser sends for a picture.
const browserHead = "GET /static/img/logo.svg?v=3 HTTP/1.1\r\n" +
	"Host: shop.example\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"156\", \"Not/A)Brand\";v=\"24\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: no-cors\r\n" +
	"Sec-Fetch-Dest: image\r\n" +
	"Referer: http://shop.example/\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef; theme=dark\r\n\r\n"

func TestHeadAllocates(t *testing.T) {
	raw := []byte(browserHead)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h1.ParseRequest(raw, h1.Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations a head, want at most 3", n)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	raw := []byte(browserHead)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h1.ParseRequest(raw, h1.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExchange is one keep-alive exchange from the client's bytes to the
// origin's and back, over pipes in memory. The peers allocate nothing.
func BenchmarkExchange(b *testing.B) {
	const response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	client, front := net.Pipe()
	back, origin := net.Pipe()
	c := h1.NewClient(back, h1.ClientOptions{})
	s := h1.NewServer(front, nil, c, h1.Options{Scheme: "http"})
	served, answered := make(chan error, 1), make(chan struct{})
	go func() { served <- s.Serve(context.Background()) }()
	go func() {
		defer close(answered)
		answer(origin, len(browserHead), response)
	}()
	head, buf := []byte(browserHead), make([]byte, len(response))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(head); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, buf); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	c.Close()
	<-answered
}

// answer reads requests of n bytes and answers each.
func answer(c net.Conn, n int, response string) {
	buf, out := make([]byte, n), []byte(response)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// BenchmarkChunkedDownload moves a chunked body through both codecs.
func BenchmarkChunkedDownload(b *testing.B) {
	chunk := "8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n"
	client, front := net.Pipe()
	back, origin := net.Pipe()
	c := h1.NewClient(back, h1.ClientOptions{})
	s := h1.NewServer(front, nil, c, h1.Options{Scheme: "http"})
	served, sent := make(chan error, 1), make(chan struct{})
	go func() { served <- s.Serve(context.Background()) }()
	go func() {
		defer close(sent)
		if _, err := io.ReadFull(origin, make([]byte, len(browserHead))); err != nil {
			return
		}
		if _, err := io.WriteString(origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
			return
		}
		for out := []byte(chunk); ; {
			if _, err := origin.Write(out); err != nil {
				return
			}
		}
	}()
	if _, err := io.WriteString(client, browserHead); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, len(chunk))
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.ReadFull(client, buf); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-served
	c.Close()
	<-sent
}

var _ exchange.Handler = (*h1.Client)(nil)
