package main

import (
	"github.com/spf13/pflag"

	"transom/egress"
)

// A spoofFlag is --spoof-source, and mitmproxy's old name for one of its
// values.
type spoofFlag struct {
	text    string
	address bool // --spoof-source-address
}

func (f *spoofFlag) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.text, "spoof-source", "", "whose address servers see: transom's host's, its client's, its client's with the port, or a fixed one: `none|ip|ip+port|ADDRESS`")
	fl.BoolVar(&f.address, "spoof-source-address", false, "short for --spoof-source ip")
}

// parse returns what was asked for; byDefault is for when nothing was.
func (f *spoofFlag) parse(byDefault string) (*egress.Spoof, error) {
	text := f.text
	switch {
	case f.address && text != "" && text != "ip":
		return nil, usagef("--spoof-source %s and --spoof-source-address, which is ip, contradict each other", text)
	case f.address:
		text = "ip"
	case text == "":
		text = byDefault
	}
	s, err := egress.ParseSpoof(text)
	if err != nil {
		return nil, usagef("--spoof-source: %w", err)
	}
	return s, nil
}

// assumes reports whether somebody asked for another address than this host's.
func (f *spoofFlag) assumes() bool { return f.given() && f.text != "none" }

// given reports whether somebody asked.
func (f *spoofFlag) given() bool { return f.address || f.text != "" }
