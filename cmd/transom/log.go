package main

import (
	"io"
	"log/slog"

	"transom/app/show"
)

// logger is what says something on stderr: lines for a person, or slog's text form.
func (f *proxyFlags) logger(w io.Writer, j *job) *slog.Logger {
	if f.logFormat == "logfmt" {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: f.level(j)}))
	}
	return logger(w, f.level(j))
}

// logger is that of commands that have no choice.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(show.LogHandler(w, level))
}

func (f *proxyFlags) level(j *job) slog.Level {
	switch {
	case f.verbose:
		return slog.LevelDebug
	case j.calm:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
