package testnet

import (
	"os"
	"testing"
)

// AllVariable names the environment variable that turns every skip into a
// failure when it is "1": it says that the machine is meant to have all that
// the tests can use.
const AllVariable = "TRANSOM_TEST_ALL"

// Need goes on if ok. Otherwise it skips t, saying "needs: " and what is
// lacking, or fails it with the same words if TRANSOM_TEST_ALL is "1". It must
// be called from the test's own goroutine, as t.Skip must.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv(AllVariable) == "1":
		t.Fatalf("needs: %s", what)
	default:
		t.Skip("needs: " + what)
	}
}
