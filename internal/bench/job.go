package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"transom/platform/lab"
)

// A job is what a client process is to do.
type job struct {
	Kind    string
	Proto   string // keepAlive: what is spoken; HTTP/1.1 if empty
	Flight  int    // h2, ws: streams, or messages, at a time on each connection
	Deflate bool   // ws: messages are compressed
	TLS     bool
	Own     bool          // TLS: whether the certificate must be the origin server's own
	Names   bool          // connect: ask for a new name each time
	From    string        // address to come from, if it matters
	Conns   int           // at a time
	Round   time.Duration // keepAlive, atRate, connect, open
	Rate    int           // atRate, open: requests a second in all
	Bytes   int64         // download
}

// Kinds of jobs.
const (
	keepAlive = "keep-alive" // one request after the other on each connection, or Flight of them at a time
	atRate    = "at-rate"    // requests at fixed times, whatever becomes of them
	connect   = "connect"    // a connection for each request
	open      = "open"       // the same at fixed times
	download  = "download"   // one long answer
	idle      = "idle"       // a request on each connection, and no start
	startUp   = "start-up"   // of a program that does nothing
)

// Protocols of jobs beside HTTP/1.1.
const (
	h2  = "h2"
	ws  = "ws"
	udp = "udp"
	dns = "dns" // over UDP
)

// An outcome is what the job did.
type outcome struct {
	Ops     int
	Elapsed time.Duration
	P50     time.Duration `json:",omitempty"` // atRate, open: until the answer
	P99     time.Duration `json:",omitempty"`
	Stood50 time.Duration `json:",omitempty"` // open: until the connection stood
	Stood99 time.Duration `json:",omitempty"`
}

// A clientProcess has opened its connections and waits for the start.
type clientProcess struct {
	cmd *lab.Cmd
	in  io.WriteCloser
	out *bufio.Reader

	said bytes.Buffer // valid when it has ended
}

// startClient starts a client, by another program if there is one.
func (w *world) startClient(ctx context.Context, j job, by ...string) (*clientProcess, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	args := append(slices.Clone(by), w.self, clientRole, string(text))
	c := &clientProcess{cmd: w.Client.Command(ctx, args[0], args[1:]...)}
	c.cmd.Env = lazyCollector()
	c.cmd.Stderr = &c.said
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the client: %w", err)
	}
	if _, err := c.out.ReadString('\n'); err != nil {
		return nil, c.failed(err)
	}
	return c, nil
}

// run has the client do its job.
func (c *clientProcess) run() (out outcome, err error) {
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		return out, c.failed(err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return out, c.failed(err)
	}
	return out, json.Unmarshal(line, &out)
}

// end has the client close its connections, and waits for it.
func (c *clientProcess) end() error {
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		return c.failed(err)
	}
	return nil
}

// failed ends the client and returns what it said.
func (c *clientProcess) failed(err error) error {
	c.in.Close()
	_ = c.cmd.Process.Kill() // it has closed its output, so it is ending anyway
	_ = c.cmd.Wait()
	return fmt.Errorf("the client: %w: %s", err, bytes.TrimSpace(c.said.Bytes()))
}
