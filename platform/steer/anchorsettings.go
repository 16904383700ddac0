package steer

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// An anchorSetting is a setting by a name that fits into a table's, with what it is
// set to.
type anchorSetting struct{ short, key, value string }

// anchorSettings are those that change.
var anchorSettings = [...]anchorSetting{
	{"fwd4", "net.inet.ip.forwarding", "1"},
	{"fwd6", "net.inet6.ip6.forwarding", "1"},
	{"red4", "net.inet.ip.redirect", "0"},
	{"red6", "net.inet6.ip6.redirect", "0"},
}

// readAnchorSettings returns, by their short names, those that are to change, as they
// are.
func readAnchorSettings(ctx context.Context, os anchorOS) (map[string]string, error) {
	was := map[string]string{}
	for _, s := range anchorSettings {
		text, err := os.run(ctx, "", "sysctl", "-n", s.key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", s.key, err)
		}
		if now := strings.TrimSpace(text); now != s.value {
			was[s.short] = now
		}
	}
	return was, nil
}

// setAnchorSettings changes those that are to change.
func setAnchorSettings(ctx context.Context, os anchorOS, was map[string]string) error {
	for _, s := range anchorSettings {
		if _, changes := was[s.short]; !changes {
			continue
		}
		if _, err := os.run(ctx, "", "sysctl", s.key+"="+s.value); err != nil {
			return fmt.Errorf("set %s: %w", s.key, err)
		}
	}
	return nil
}

// putAnchorSettingsBack goes on whatever fails.
func putAnchorSettingsBack(ctx context.Context, os anchorOS, m anchorMemory) error {
	var errs []error
	for _, s := range changedAnchorSettings(ctx, os, m) {
		if _, err := os.run(ctx, "", "sysctl", s.key+"="+m.was[s.short]); err != nil {
			errs = append(errs, fmt.Errorf("set %s back to %s: %w", s.key, m.was[s.short], err))
		}
	}
	return errors.Join(errs...)
}

// changedAnchorSettings are those to put back: one that somebody has changed meanwhile
// is no more ours.
func changedAnchorSettings(ctx context.Context, os anchorOS, m anchorMemory) (list []anchorSetting) {
	for _, s := range anchorSettings {
		if _, ok := m.was[s.short]; !ok {
			continue
		}
		if now, err := os.run(ctx, "", "sysctl", "-n", s.key); err != nil || strings.TrimSpace(now) == s.value {
			list = append(list, s)
		}
	}
	return list
}

// anchorSettingWords lists them for a person.
func anchorSettingWords(ctx context.Context, os anchorOS, m anchorMemory) (lines []string) {
	for _, s := range changedAnchorSettings(ctx, os, m) {
		lines = append(lines, fmt.Sprintf("%s = %s (was %s)", s.key, s.value, m.was[s.short]))
	}
	return lines
}

// settingOf is the key of a short name, "" if there is none.
func settingOf(short string) string {
	for _, s := range anchorSettings {
		if s.short == short {
			return s.key
		}
	}
	return ""
}
