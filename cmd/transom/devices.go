package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"transom"
	"transom/platform/neighbour"
)

// A namesFlag says where the names of devices are taken from.
type namesFlag struct {
	neighbour.Sources
	off  bool // their hardware addresses are not looked for either
	text string
}

// allNames is the default.
const allNames = "all"

// add defines the flag.
func (f *namesFlag) add(fl *pflag.FlagSet) {
	if err := f.Set(allNames); err != nil {
		panic(err)
	}
	fl.Var(f, "device-names", "take names of devices from these `SOURCES`: leases,hosts,mdns,dns, or all; mac is hardware addresses alone, none not even those")
}

// String implements pflag.Value.
func (f *namesFlag) String() string { return f.text }

// Set implements pflag.Value.
func (f *namesFlag) Set(text string) error {
	f.Sources, f.off, f.text = neighbour.Sources{}, false, text
	switch text {
	case "":
		return errEmpty
	case none:
		f.off = true
		return nil
	case "mac":
		return nil
	case allNames:
		f.Sources = neighbour.Sources{Leases: true, Hosts: true, MDNS: true, DNS: true}
		return nil
	}
	sources := map[string]*bool{"leases": &f.Leases, "hosts": &f.Hosts, "mdns": &f.MDNS, "dns": &f.DNS}
	for word := range strings.SplitSeq(text, ",") {
		source := sources[strings.TrimSpace(word)]
		if source == nil {
			return errors.New("want all, some of leases,hosts,mdns,dns, mac or none")
		}
		*source = true
	}
	return nil
}

// Type implements pflag.Value.
func (f *namesFlag) Type() string { return "LIST" }

// findDevices has the devices found that clients are. What it takes is opened now. Without
// it goes on, and says so.
func (r *rights) findDevices(p *transom.Proxy, f *namesFlag, interfaces []string) {
	if f.off {
		return
	}
	w, err := neighbour.Open(neighbour.Options{
		Sources: f.Sources, Interfaces: interfaces, Log: p.Log,
		Own: func(a netip.Addr) bool { return p.Host.Own(a) },
	})
	if err != nil {
		p.Log.Warn("devices are recorded by their addresses alone", "err", err)
		return
	}
	p.Devices = w
	r.reads = append(r.reads, neighbour.Files(f.Sources)...)
}

// closeDevices ends it.
func closeDevices(p *transom.Proxy) error {
	c, ok := p.Devices.(io.Closer)
	if !ok {
		return nil
	}
	if err := c.Close(); err != nil {
		return fmt.Errorf("stop looking for devices: %w", err)
	}
	return nil
}
