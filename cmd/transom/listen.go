package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transom"
	"transom/capture"
	"transom/egress"
	"transom/platform"
	"transom/platform/helper"
)

type listenFlags struct {
	proxyFlags
	modes       []string
	transparent bool
	host        string
	port        numberFlag
	names       namesFlag
}

func listenCommand() *cobra.Command {
	f := &listenFlags{port: portFlag(0)}
	cmd := &cobra.Command{
		Use:   "listen [--mode SPEC] [FILTER...]",
		Short: "Open listeners for traffic that your own rules redirect",
		Long: `listen opens listeners and nothing else: the host's redirection rules are yours.
In transparent mode every connection that a REDIRECT or TPROXY rule brings is
read, shown, and carried on to where its client meant to go. A connection made
to the port itself gets a page that offers the certificate, or is served as by
an ordinary HTTP proxy.

With FILTER, which is --filter, only flows that match it are shown.`,
		Example: `  transom listen --mode transparent
  transom listen -T -p 8443 --ignore-hosts '\.bank\.example:443$' --json -o flows.ndjson`,
		Args: cobra.ArbitraryArgs,
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.modes, "mode", "m", nil, "what to listen for, `SPEC`: transparent[@[host:]port] (default: transparent); may be repeated")
	fl.BoolVarP(&f.transparent, "transparent", "T", false, "short for --mode transparent")
	fl.StringVar(&f.host, "listen-host", "", "`ADDRESS` to listen on (default: all, IPv4 and IPv6)")
	fl.VarP(&f.port, "listen-port", "p", "port to listen on")
	f.names.add(fl)
	f.add(fl)
	cmd.RunE = running(func(cmd *cobra.Command, args []string) error {
		if err := f.positional(args); err != nil {
			return err
		}
		captures, err := f.captures()
		if err != nil {
			return &usageError{err}
		}
		return f.run(cmd, &job{captures: captures, open: f.open, begun: f.begun})
	})
	return cmd
}

// open takes this process's rights for the listeners. Only to assume clients'
// addresses is there a need for rights later on, which a helper keeps.
func (f *listenFlags) open(ctx context.Context, p *transom.Proxy, r *rights) (platform.Host, error) {
	r.findDevices(p, &f.names, nil)
	if p.Spoof.Mode() == egress.SpoofNone {
		return r.listening(p)
	}
	if err := platform.Assumes(); err != nil {
		return nil, usagef("--spoof-source %s: %w", p.Spoof, err)
	}
	if helper.Supported() != nil {
		return r.assuming(p)
	}
	if err := r.need("assume the clients' addresses", spoofing...); err != nil {
		return nil, err
	}
	p.Log.Warn("transom's helper will assume whatever address it is asked for: nobody has said which are the clients'; transom gateway knows", "spoof_source", p.Spoof)
	return r.helper(ctx, p, charterOf(p, everywhere()), nil)
}

func (f *listenFlags) captures() ([]capture.Capture, error) {
	if _, err := netip.ParseAddr(strings.Trim(f.host, "[]")); f.host != "" && err != nil {
		return nil, fmt.Errorf("--listen-host %q: want an address of this host, such as :: or 127.0.0.1", f.host)
	}
	modes := f.modes
	if f.transparent && !slices.Contains(modes, "transparent") {
		modes = append(modes, "transparent")
	}
	if len(modes) == 0 {
		modes = []string{"transparent"}
	}
	var cs []capture.Capture
	for i, m := range modes {
		c, err := parseMode(m, f.host, uint16(f.port.value))
		if err != nil {
			return nil, err
		}
		for j, other := range cs {
			if overlap(c.Listen, other.(capture.Redirect).Listen) {
				return nil, fmt.Errorf("modes %q and %q are on one port", modes[j], modes[i])
			}
		}
		cs = append(cs, c)
	}
	return cs, nil
}

// portFlag is --listen-port. Port 0, for any that is free, is below a least of 1.
func portFlag(least int) numberFlag {
	return numberFlag{value: defaultPort, min: least, max: 65535, name: portName}
}
