package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"transom/internal/testnet"
	"transom/store/segment"
)

// errNoMount says that there can be no file system to fill.
const errNoMount = "no file system of its own"

// TestFullTmpfs fills a small file system, frees room, and goes on, in a mount
// namespace of its own.
func TestFullTmpfs(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actVariable+"=fill "+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	testnet.Need(t, err == nil || errors.As(err, &ended) && !strings.Contains(string(out), errNoMount), fmt.Sprint("a mount namespace: ", err))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// fillTmpfs is what is done in it.
func fillTmpfs(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		return fmt.Errorf("%s: %w", errNoMount, err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<10), 0o600); err != nil {
		return err
	}
	o := segment.Options{Dir: filepath.Join(dir, "store"), SegmentSize: 100 << 10}
	l, err := segment.Open(o)
	if err != nil {
		return err
	}
	owed := map[segment.Position]uint64{}
	n, err := appendUntilFull(l, 0, owed)
	if err != nil {
		return err
	}
	if err := errors.Join(readOwed(l, owed), os.Remove(ballast)); err != nil {
		return err
	}
	before := len(owed)
	if _, err = appendUntilFull(l, n, owed); err != nil {
		return err
	}
	if len(owed) < before+before/3 {
		return fmt.Errorf("%d records when it was full, %d with more room", before, len(owed))
	}
	if err := errors.Join(readOwed(l, owed), l.Close()); err != nil {
		return err
	}
	if l, err = segment.Open(o); err != nil {
		return err
	}
	return errors.Join(readOwed(l, owed), l.Close())
}

// appendUntilFull appends and syncs until there is no room, several times.
func appendUntilFull(l *segment.Log, n uint64, owed map[segment.Position]uint64) (uint64, error) {
	for full := 0; full < 3; {
		at, err := l.Append(numbered(n), numbered(n+1))
		if err != nil && !errors.Is(err, segment.ErrFull) {
			return n, err
		}
		if err != nil {
			full++
			continue
		}
		if err := l.Sync(); err != nil {
			return n, err
		}
		owed[at[0]], owed[at[1]] = n, n+1
		n += 2
	}
	return n, nil
}

func readOwed(l *segment.Log, owed map[segment.Position]uint64) error {
	for p, n := range owed {
		r, err := l.Read(p, nil)
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Payload, numbered(n).Payload) {
			return fmt.Errorf("%v is not record %d", p, n)
		}
	}
	return nil
}
