package segment_test

import (
	"fmt"
	"os"
	"testing"
)

// actVariable has the test binary be another process: "ACT DIR".
const actVariable = "TRANSOM_TEST_SEGMENT"

func TestMain(m *testing.M) {
	var act, dir string
	if _, err := fmt.Sscan(os.Getenv(actVariable), &act, &dir); err != nil {
		os.Exit(m.Run())
	}
	if err := acts[act](dir); err != nil {
		fmt.Fprintln(os.Stderr, act, err)
		os.Exit(1)
	}
}

// acts are what another process does.
var acts = map[string]func(dir string) error{
	"write": writeForEver,
	"fill":  fillTmpfs,
}
