package steer

import (
	"errors"
	"fmt"
	"strings"

	"transom/platform"
)

// checkWords refuses names that could mean more than a name in a text of rules
// or in a shell.
func checkWords(s *platform.Steering) error {
	for _, name := range s.Interfaces {
		switch {
		case name == "" || len(name) > 15:
			return fmt.Errorf("interface %q: want a name of 1 to 15 bytes", name)
		case !plain(name, "._@:-") || name[0] == '-' || name[0] == '.':
			return fmt.Errorf("interface %q: want letters, digits and . _ @ : - in its name, and not . or - at its start", name)
		}
	}
	for _, path := range []string{s.Cgroup, s.Program} {
		if !plain(path, `._@:-/\`) {
			return fmt.Errorf(`cgroup %q: want letters, digits and . _ @ : - / \ in its path`, path)
		}
	}
	return nil
}

// plain reports whether s is of letters and digits of ASCII and of more.
func plain(s, more string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(more, r)
	})
}

// checkShown refuses what can't be written as a text that stands by itself.
func checkShown(s *platform.Steering) error {
	if s.IsZero() {
		return errors.New("nothing to show: name an interface that clients are behind, or this host itself (local)")
	}
	if s.Draining {
		return errors.New("nothing to show: draining is a state of a transom that runs")
	}
	if s.Program != "" {
		return errors.New("nothing to show: a program's cgroup is there while transom run is, which sets the rules up itself")
	}
	if err := s.Check(); err != nil {
		return err
	}
	return checkWords(s)
}
