package platform

import (
	"strings"
	"testing"
)

func TestHolder(t *testing.T) {
	const locks = `1: POSIX  ADVISORY  WRITE 11 08:01:131 0 EOF
2: FLOCK  ADVISORY  WRITE 12 08:01:132 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 08:01:131 0 EOF
3: FLOCK  ADVISORY  READ  -1 08:01:133 0 EOF
4: FLOCK
5: FLOCK  ADVISORY  WRITE 14 08:01:131 0 EOF
`
	for file, want := range map[string]int{"08:01:131": 14, "08:01:132": 12, "08:01:133": -1, "08:01:134": 0} {
		if got := holder(strings.NewReader(locks), file); got != want {
			t.Errorf("%s: %d, want %d", file, got, want)
		}
	}
}
