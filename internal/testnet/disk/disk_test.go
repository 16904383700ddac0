package disk_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"transom/internal/testnet/disk"
	"transom/store/segment"
)

func create(t *testing.T, d *disk.Disk, name, text string) segment.File {
	t.Helper()
	f, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, text, 0)
	return f
}

func write(t *testing.T, f segment.File, text string, at int64) {
	t.Helper()
	if _, err := f.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
}

// content returns what a file holds, "none" if there is none.
func content(t *testing.T, d *disk.Disk, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		return "none"
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPowerCutForgets(t *testing.T) {
	d := disk.New()
	f := create(t, d, "a", "synced")
	if err := errors.Join(f.Sync(), d.SyncDir()); err != nil {
		t.Fatal(err)
	}
	write(t, f, " and not", 6)
	create(t, d, "b", "no name")
	for what, want := range map[int][2]string{disk.None: {"synced", "none"}, disk.All: {"synced and not", "no name"}} {
		after := d.Kill().Crash(what, nil)
		if got := [2]string{content(t, after, "a"), content(t, after, "b")}; got != want {
			t.Errorf("crash %d: %q instead of %q", what, got, want)
		}
	}
	seen := map[string]bool{}
	for i := range uint64(50) {
		after := d.Kill().Crash(disk.Some, rand.New(rand.NewPCG(i, 0)))
		seen[content(t, after, "a")+"|"+content(t, after, "b")] = true
	}
	for _, want := range []string{"synced|none", "synced and not|none", "synced|", "synced and not|no name"} {
		if !seen[want] {
			t.Errorf("chance never left %q: %v", want, seen)
		}
	}
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, disk.ErrPower) {
		t.Errorf("a disk that has crashed: %v", err)
	}
}

func TestRenameWithoutSync(t *testing.T) {
	for _, c := range []struct {
		name      string
		dir, file bool
		want      string
	}{
		{"neither", false, false, "old"},
		{"the directory alone", true, false, ""},
		{"the file alone", false, true, "old"},
		{"both", true, true, "new"},
	} {
		d := disk.New()
		old, fresh := create(t, d, "a", "old"), create(t, d, "a.new", "new")
		err := errors.Join(old.Sync(), d.SyncDir(), d.Rename("a.new", "a"))
		if c.file {
			err = errors.Join(err, fresh.Sync())
		}
		if c.dir {
			err = errors.Join(err, d.SyncDir())
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, d.Crash(disk.None, nil), "a"); got != c.want {
			t.Errorf("%s synced: %q instead of %q", c.name, got, c.want)
		}
	}
}

func TestFails(t *testing.T) {
	d := disk.New()
	f := create(t, d, "a", "1234")
	d.Set(func(d *disk.Disk) { d.Room, d.SyncFail = 6, 1 })
	if n, err := f.WriteAt([]byte("5678"), 4); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("without room: %d, %v", n, err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that fails: %v", err)
	}
	if err := errors.Join(f.Sync(), d.SyncDir()); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if got := content(t, d.Crash(disk.None, nil), "a"); got != "" {
		t.Errorf("what the failed sync was for is there: %q", got)
	}
}
