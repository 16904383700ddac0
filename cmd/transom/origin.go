package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"transom"
	"transom/capture"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/pf"
)

// listening is the host of a listener. Where pf answers root alone and this process
// won't be root, another one goes on to be, and asks for it.
func (r *rights) listening(p *transom.Proxy) (platform.Host, error) {
	if !pf.RootAlone() || os.Geteuid() != 0 || r.rooted() {
		return platform.Here(p.Log)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	args := []string{"helper", "pf"}
	for _, c := range p.Captures {
		if c, ok := c.(capture.Redirect); ok {
			args = append(args, c.Listen.String())
		}
	}
	asker, err := pf.Start(program, args...)
	if err != nil {
		return nil, err
	}
	r.asker = true
	return platform.HereBy(p.Log, asker)
}

// assuming is the host of a listener that assumes its clients' addresses where no
// helper can: each such socket takes root.
func (r *rights) assuming(p *transom.Proxy) (platform.Host, error) {
	if !r.rooted() {
		return nil, usagef("--spoof-source %s: on this system each such connection takes root, so the process that reads traffic would have to stay root: that is done with --user root, started by root", p.Spoof)
	}
	p.Log.Warn("traffic is read by a process that is root, as --spoof-source and --user root ask for", "spoof_source", p.Spoof)
	return platform.Here(p.Log)
}

// rooted reports whether the process goes on with root's rights: a root without any
// is Linux's.
func (r *rights) rooted() bool {
	return helper.Supported() != nil && os.Geteuid() == 0 && r.user != nil && r.user.UID == 0
}

// pfCommand is what transom starts on macOS.
func pfCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pf ADDRESS:PORT...",
		Short: "Ask pf where connections to some listeners were meant to go",
		Args:  cobra.MinimumNArgs(1),
		RunE: running(func(_ *cobra.Command, args []string) error {
			file := os.NewFile(3, "line")
			line, err := net.FileConn(file)
			if err != nil {
				return usagef("descriptor 3 is no line: transom listen starts this by itself")
			}
			defer line.Close()
			return errors.Join(file.Close(), servePF(line, args))
		}),
	}
}

// servePF answers for pf, or says why it doesn't.
func servePF(line io.ReadWriter, args []string) error {
	listeners := make([]netip.AddrPort, len(args))
	for i, a := range args {
		var err error
		if listeners[i], err = netip.ParseAddrPort(a); err != nil {
			return pf.Refuse(line, fmt.Errorf("%q is no listener", a))
		}
	}
	table, ok := pf.Here()
	if !ok {
		return pf.Refuse(line, errors.New("there is no pf on this system"))
	}
	defer table.Close()
	if err := table.Ready(); err != nil {
		return pf.Refuse(line, fmt.Errorf("open /dev/pf: %w", err))
	}
	return pf.Serve(line, table, listeners)
}
