package steer_test

import (
	"testing"

	"transom/platform/steer"
)

// TestWatchLinks takes interfaces and their names away.
func TestWatchLinks(t *testing.T) {
	w := newRouter(t)
	ip := tool(t, "ip")
	w.run(ip, "link", "add", "v0", "type", "bridge")
	log := newLines()
	var stop func() error
	err := w.Gateway.Do(func() (err error) {
		stop, err = steer.WatchLinks([]string{"lan0", "v0", "not-yet"}, log.log())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"link", "set", "v0", "up"}, ""},
		{[]string{"link", "set", "lan0", "down"}, ""},
		{[]string{"link", "set", "lan0", "name", "old0"}, `level=WARN msg="lan0 has another name now: `},
		{[]string{"link", "set", "old0", "name", "lan0"}, `level=INFO msg="lan0 is there again: `},
		{[]string{"link", "del", "v0"}, `level=WARN msg="v0 is gone: `},
		{[]string{"link", "add", "v0", "type", "bridge"}, `level=INFO msg="v0 is there again: `},
		{[]string{"link", "add", "not-yet", "type", "bridge"}, `level=INFO msg="not-yet is there again: `},
	} {
		w.run(ip, step.args...)
		log.wait(t, step.want, 1)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := log.count("level="); n != 5 {
		t.Errorf("it says %d things, want 5:\n%s", n, &log.text)
	}
}
