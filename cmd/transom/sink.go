package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// A sink is where flows are written. Traffic goes on when they can't be, for a
// full disk, say: each such episode is logged as it begins and ends, and what
// was lost is counted. Only a reader who has left is an error, since nobody
// comes back to a pipe. It is used by one goroutine.
type sink struct {
	w    io.Writer
	log  *slog.Logger
	torn bool // the last line is cut short

	failing bool
	lost    int // lines, in this episode
	all     int // lines, since the start
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	asked := len(p)
	if s.torn {
		p = append([]byte("\n"), p...)
	}
	n, err := s.w.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		return n, err
	}
	if err != nil {
		s.failed(p[max(n, len(p)-asked):], err)
	} else if s.failing {
		s.log.Warn("flows can be written again", "lines_lost", s.lost)
		s.failing, s.lost = false, 0
	}
	s.torn = s.torn && n == 0 || err != nil && n > 0 && !s.cut(p[:n])
	return asked, nil
}

// failed counts the lines that rest is of.
func (s *sink) failed(rest []byte, err error) {
	lines := bytes.Count(rest, []byte("\n"))
	s.lost, s.all = s.lost+lines, s.all+lines
	if !s.failing {
		s.failing = true
		s.log.Warn("flows can't be written; traffic goes on, and they are lost until they can", "err", err)
	}
}

// cut takes the beginning of a line that was written back, if it is in a file.
func (s *sink) cut(written []byte) bool {
	begun := len(written) - 1 - bytes.LastIndexByte(written, '\n')
	if begun == 0 {
		return true
	}
	f, ok := s.w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular() && f.Truncate(info.Size()-int64(begun)) == nil
}

// err is what was lost in all.
func (s *sink) err() error {
	if s.all == 0 {
		return nil
	}
	return fmt.Errorf("%d lines of flows could not be written", s.all)
}
