package main

import (
	"testing"

	"transom/platform/sandbox"
)

// TestConfigDir: what is a caller's is in the caller's home, or nowhere.
func TestConfigDir(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "/root")
	for _, tc := range []struct{ home, want string }{{"/home/x", "/home/x/.config"}, {"", ""}} {
		r := &rights{caller: true, user: &sandbox.User{UID: 1000, Home: tc.home}}
		if dir, err := r.configDir(); dir != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("home %q: %q, %v", tc.home, dir, err)
		}
	}
}
