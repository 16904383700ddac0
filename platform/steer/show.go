package steer

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"transom/platform"
)

// Show writes what a person would type to get s without transom: a shell script
// for a format, "nft" and "iptables" on Linux, "pf" on macOS and the BSDs, "ipfw"
// on FreeBSD. Its comments say what each part is for; it takes back what it has
// set up when it is run with the word down. What a format can't do is an error
// that names it. Nothing is read from or written to the host.
func Show(w io.Writer, s platform.Steering, format string) error {
	formats := map[string]func(*script, platform.Steering) error{
		"nft": showNFT, "iptables": showIPTables, "pf": showPF, "ipfw": showIPFW,
	}
	show, ok := formats[format]
	if !ok {
		return fmt.Errorf("show steering: format %q: want nft, iptables, pf or ipfw", format)
	}
	var b script
	if err := checkShown(&s); err != nil {
		return fmt.Errorf("show steering: %w", err)
	}
	if err := show(&b, s); err != nil {
		return fmt.Errorf("show steering as %s: %w", format, err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A script is a text for sh.
type script struct{ strings.Builder }

// linef writes a line.
func (b *script) linef(format string, a ...any) {
	fmt.Fprintf(b, format, a...)
	b.WriteByte('\n')
}

// lines writes lines as they are, without the empty ones around them.
func (b *script) lines(text string) {
	b.WriteString(strings.Trim(text, "\n"))
	b.WriteByte('\n')
}

// comment writes a comment of several lines, each behind indent.
func (b *script) comment(indent, text string) {
	const width = 100
	line := indent + "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			b.linef("%s", line)
			line = indent + "#"
		}
		line += " " + word
	}
	b.linef("%s", line)
}

// head begins a script and says what it is for.
func (b *script) head(s *platform.Steering, format, needs string) {
	b.linef("#!/bin/sh")
	b.comment("", "Written by: transom steer show --format "+format)
	b.comment("", "It brings "+what(s)+".")
	b.comment("", "As root: \"sh THIS-FILE up\" sets it up, \"sh THIS-FILE down\" takes it back. It needs "+needs+", and lasts until the next boot.")
}

// unproven says of a text that nobody has run it.
func (b *script) unproven() {
	b.comment("", "This text follows the manuals; transom's own tests run those for Linux alone. Read it before you run it.")
}

// what says in words what is captured.
func what(s *platform.Steering) string {
	var whose []string
	if len(s.Interfaces) > 0 {
		whose = append(whose, "of clients behind "+strings.Join(s.Interfaces, ", "))
	}
	if s.Local {
		whose = append(whose, "of this host's own programs")
	}
	udp := ""
	if ports := udpPorts(s); len(ports) > 0 {
		udp = ", and clients' datagrams to UDP " + inWords(ports) + " to one beside it"
	}
	return fmt.Sprintf("TCP connections to %s %s to a transparent listener on port %d%s", inWords(s.Ports), strings.Join(whose, " and "), s.Port, udp)
}

// inWords names ports.
func inWords(ports []platform.PortRange) string {
	if len(ports) == 0 {
		return "all ports"
	}
	words := make([]string, len(ports))
	for i, r := range ports {
		words[i] = r.String()
	}
	return "ports " + strings.Join(words, ", ")
}

// errUDP refuses what no text but Linux's can bring.
var errUDP = errors.New("UDP: transom captures it on Linux alone; ask for none")

// foot ends a script.
func (b *script) foot() {
	b.lines(`
case "${1-}" in
up) up ;;
down) down ;;
*) echo "usage: sh $0 up|down" >&2; exit 2 ;;
esac
`)
}
