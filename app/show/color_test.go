package show

import "testing"

func TestWantsColor(t *testing.T) {
	for _, tc := range []struct {
		name, noColor, term string
		want                bool
	}{
		{"terminal", "", "xterm-256color", true},
		{"no-color", "1", "xterm", false},
		{"dumb", "", "dumb", false},
		{"unset", "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := map[string]string{"NO_COLOR": tc.noColor, "TERM": tc.term}
			if got := wantsColor(func(k string) string { return env[k] }); got != tc.want {
				t.Errorf("%v", got)
			}
		})
	}
}
