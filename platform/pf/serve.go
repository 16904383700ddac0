package pf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// A Looker finds out where connections were meant to go. *Table is one, and so is
// *Asker.
type Looker interface {
	Original(client, local netip.AddrPort) (netip.AddrPort, error)
}

// Serve answers an Asker at the other end of line until that is closed. It looks for
// connections that were accepted at one of the listeners, and for no others: who
// asks may be somebody else by then. A listener for all addresses, or for port 0,
// is any such.
func Serve(line io.ReadWriter, pf Looker, listeners []netip.AddrPort) error {
	if err := writeAnswer(line, netip.AddrPort{}, errReady); err != nil {
		return fmt.Errorf("answer for pf: %w", err)
	}
	in := bufio.NewReader(line)
	for {
		client, local, err := readQuestion(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("answer for pf: %w", err)
		}
		dst, failed := netip.AddrPort{}, allowed(listeners, local)
		if failed == nil {
			dst, failed = pf.Original(client, local)
		}
		if err := writeAnswer(line, dst, failed); err != nil {
			return fmt.Errorf("answer for pf: %w", err)
		}
	}
}

// errReady is the first answer, before any question.
var errReady = errors.New("ready")

// allowed refuses what is asked about a port that is not ours.
func allowed(listeners []netip.AddrPort, local netip.AddrPort) error {
	for _, l := range listeners {
		if !l.Addr().IsUnspecified() && l.Addr().Unmap() != local.Addr().WithZone("") {
			continue
		}
		if l.Port() == 0 || l.Port() == local.Port() {
			return nil
		}
	}
	return fmt.Errorf("refused: %s is no listener that this was started for", local)
}

// Refuse tells an Asker, which waits for Serve, why there is none.
func Refuse(line io.Writer, why error) error {
	return writeAnswer(line, netip.AddrPort{}, why)
}
