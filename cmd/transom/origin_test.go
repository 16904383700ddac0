package main

import (
	"net"
	"strings"
	"sync"
	"testing"

	"transom/platform/pf"
)

// TestServePF: who asks is told why there is no answer, before it takes a connection.
func TestServePF(t *testing.T) {
	for name, tt := range map[string]struct{ arg, want string }{
		"without-pf":  {"127.0.0.1:8080", "pf"},
		"no-listener": {"8080", "no listener"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			var ended sync.WaitGroup
			ended.Go(func() {
				defer far.Close()
				if err := servePF(far, []string{tt.arg}); err != nil {
					t.Error(err)
				}
			})
			a, err := pf.NewAsker(near)
			if err == nil {
				a.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			ended.Wait()
		})
	}
}
