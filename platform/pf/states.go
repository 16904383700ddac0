package pf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// States asks a program for all states of pf. That takes as long as there are
// states, so it is for when nothing else answers; one question runs at a time.
type States struct {
	// Command prints them: a path and arguments.
	Command []string

	mu sync.Mutex
}

// String is the command.
func (s *States) String() string { return strings.Join(s.Command, " ") }

// printWithin bounds how long the program may take.
const printWithin = 10 * time.Second

// Original returns where the client of a connection that was accepted at local
// meant to go. It runs the program, and waits for it.
func (s *States) Original(client, local netip.AddrPort) (netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), printWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	var said strings.Builder
	cmd.Stderr = &limited{w: &said, left: 500}
	text, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return netip.AddrPort{}, s.failed(err, "")
	}
	dst, found := Find(text, client, local)
	_, _ = io.Copy(io.Discard, text) // what follows an error; else it would wait for us
	if err := cmd.Wait(); err != nil {
		return netip.AddrPort{}, s.failed(err, said.String())
	}
	return dst, found
}

// failed says how the program did.
func (s *States) failed(err error, said string) error {
	words := s.String()
	said = strings.Join(strings.Fields(said), " ")
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && said != "":
		return fmt.Errorf("%s: %s (%w)", words, said, err)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s: there is no such program: %w", words, err)
	}
	return fmt.Errorf("%s: %w", words, err)
}

// limited keeps the beginning of what is written.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if n := min(len(p), l.left); n > 0 {
		l.left -= n
		if _, err := l.w.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
