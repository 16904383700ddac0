package testnet

import (
	"testing"
)

// recorder is a testing.TB that notes how it was ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skip(a ...any)             { r.skipped = a[0].(string) }
func (r *recorder) Fatalf(f string, a ...any) { r.failed = f + " " + a[0].(string) }

func TestNeed(t *testing.T) {
	tests := map[string]struct {
		ok, all       bool
		skip, failure bool
	}{
		"there":             {ok: true},
		"there-all":         {ok: true, all: true},
		"lacking-skips":     {skip: true},
		"lacking-fails-all": {all: true, failure: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(AllVariable, map[bool]string{true: "1"}[tt.all])
			r := &recorder{TB: t}
			Need(r, tt.ok, "a kernel")
			if got := r.skipped == "needs: a kernel"; got != tt.skip {
				t.Errorf("skipped with %q, want a skip: %v", r.skipped, tt.skip)
			}
			if got := r.failed == "needs: %s a kernel"; got != tt.failure {
				t.Errorf("failed with %q, want a failure: %v", r.failed, tt.failure)
			}
		})
	}
}
