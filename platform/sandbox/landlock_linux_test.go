package sandbox

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
)

// A newer kernel takes the rules of an older one's version.
func TestLandlockVersions(t *testing.T) {
	now, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	testnet.Need(t, errno == 0, "a kernel with Landlock")
	for v := range int(now) + 3 {
		l := landlockOf(v + 1)
		l.version = v + 1
		fd, err := l.ruleset(Options{Read: []string{"/etc", "/etc/hosts", "/not/there"}, Write: []string{t.TempDir()}})
		if err != nil {
			t.Errorf("version %d: %v", v+1, err)
			continue
		}
		unix.Close(fd)
	}
	_, err := landlockOf(1).ruleset(Options{Write: []string{filepath.Join(t.TempDir(), "not-there")}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory to write to that is not there: %v", err)
	}
}

func TestSystemFiles(t *testing.T) {
	if !slices.Contains(SystemFiles(User{UID: 1000}), "/etc") {
		t.Error("a file that is renamed into /etc can't be read")
	}
	if slices.Contains(SystemFiles(User{UID: 0}), "/etc") {
		t.Error("root may read its secrets")
	}
}
