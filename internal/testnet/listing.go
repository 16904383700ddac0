package testnet

import (
	"fmt"
	"os"
	"testing"
)

// Listing returns the names, times and sizes of what is in a directory, so that a test sees
// whether it has changed.
func Listing(t testing.TB, dir string) (list []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(e.Name(), info.ModTime(), info.Size()))
	}
	return list
}
