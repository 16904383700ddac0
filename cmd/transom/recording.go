package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"transom/platform/sandbox"
	"transom/store"
)

// recordFlags say where flows and bodies are recorded, and how much of them.
type recordFlags struct {
	dir       string // "" is memory
	max       sizeFlag
	bodyLimit sizeFlag
	age       ageFlag
	count     numberFlag
	lossless  bool
	key       string
	words     bool
	trigrams  bool
	flags     *pflag.FlagSet
}

const (
	// minStore is the least that --store-max may be; of a directory it is minDir.
	minStore sizeFlag = 64 << 10
	minDir   sizeFlag = 16 << 20

	maxDir     sizeFlag = 10 << 30 // the default
	diskBodies sizeFlag = 64 << 20
)

// add defines the flags.
func (f *recordFlags) add(fl *pflag.FlagSet) {
	f.flags = fl
	f.max, f.bodyLimit = 32<<20, 1<<20
	f.count = numberFlag{max: 1 << 40, name: "NUMBER"}
	fl.StringVar(&f.dir, "store", "", "record to this `DIR`, made if there is none, and keep what it holds; none keeps nothing (default: memory)")
	fl.Var(&f.max, "store-max", "memory for recorded flows and bodies, at least 64k; with --store DIR what the directory may take, at least 16m (default 10g), the oldest go first")
	fl.Var(&f.bodyLimit, "body-limit", "how much of one body is kept; with --store DIR the default is 64m")
	fl.Var(&f.age, "store-age", "with --store DIR: how long flows are kept, as in 12h or 30d; 0 is for ever")
	fl.Var(&f.count, "store-count", "with --store DIR: about how many flows are kept; 0 is as many as there is room for")
	fl.StringVar(&f.key, "store-key", "", "with --store DIR: encrypt what is recorded under the key in this `FILE`, of age-keygen, or the passphrase in it")
	fl.BoolVar(&f.words, "store-words", false, "with --store DIR: index the words of bodies, which makes looking for them fast, and takes processor time")
	fl.BoolVar(&f.trigrams, "store-trigrams", false, "with --store DIR: index each three characters of bodies, and words, which makes looking for text fast, and takes much processor time and room")
	fl.BoolVar(&f.lossless, "lossless", false, "with --store DIR: lose nothing, and have traffic wait for the disk where it must")
}

// onDisk reports whether it is a directory.
func (f *recordFlags) onDisk() bool { return f.dir != "" && f.dir != none }

// check refuses values that make no sense, and fills in what depends on others.
func (f *recordFlags) check() error {
	if f.onDisk() {
		if !f.flags.Changed("store-max") {
			f.max = maxDir
		}
		if !f.flags.Changed("body-limit") {
			f.bodyLimit = min(diskBodies, f.max)
		}
		if f.max < minDir {
			return fmt.Errorf("--store-max %s: want at least %s for a directory", &f.max, minDir.String())
		}
		return f.limits()
	}
	for _, name := range []string{"store-age", "store-count", "store-key", "store-words", "store-trigrams", "lossless"} {
		if f.flags.Changed(name) {
			return fmt.Errorf("--%s is for a directory: name one with --store DIR", name)
		}
	}
	if f.dir == none {
		for _, name := range []string{"store-max", "body-limit"} {
			if f.flags.Changed(name) {
				return fmt.Errorf("--store none keeps nothing: leave --%s out", name)
			}
		}
		return nil
	}
	if !f.flags.Changed("body-limit") {
		f.bodyLimit = min(f.bodyLimit, f.max)
	}
	if f.max < minStore {
		return fmt.Errorf("--store-max %s: want at least %s, for the flows that are under way", &f.max, minStore.String())
	}
	return f.limits()
}

func (f *recordFlags) limits() error {
	if f.bodyLimit > f.max {
		return fmt.Errorf("--body-limit %s: want at most --store-max, %s", &f.bodyLimit, &f.max)
	}
	return nil
}

// open opens the store. What is returned closes it, and says what was lost. For the
// options 0 is the default, for a person it is nothing.
func (f *recordFlags) open(r *rights, grace time.Duration, log *slog.Logger) (s store.Store, done func() error, err error) {
	limit := int64(f.bodyLimit)
	if limit == 0 {
		limit = -1
	}
	switch {
	case f.dir == none:
		return store.None{}, func() error { return nil }, nil
	case !f.onDisk():
		m := store.NewMemory(store.MemoryOptions{MaxBytes: int64(f.max), BodyLimit: limit})
		return m, m.Close, nil
	}
	o := store.DiskOptions{
		MaxBytes: int64(f.max), BodyLimit: limit, MaxAge: time.Duration(f.age), MaxFlows: int64(f.count.value),
		Lossless: f.lossless, Words: f.words, Trigrams: f.trigrams, Thrift: true, Grace: max(grace, 1), Log: log,
	}
	if o.Dir, err = filepath.Abs(f.dir); err != nil {
		return nil, nil, err
	}
	if f.key != "" {
		err := r.asUser(func() (err error) {
			o.Secret, err = readKey(f.key)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	d, err := r.record(o)
	if err != nil {
		return nil, nil, fmt.Errorf("--store %s: %w", f.dir, err)
	}
	return d, func() error { return closeDisk(d, o.Dir) }, nil
}

// record opens a directory as whom we become: it is theirs, and what they may not reach
// can't be used. It can be written to when all rights are given up.
func (r *rights) record(o store.DiskOptions) (d *store.Disk, err error) {
	to := sandbox.Self()
	if r.user != nil {
		to, _ = sandbox.Within(*r.user)
	}
	as := func(f func() error) error {
		if r.user == nil {
			return f()
		}
		return sandbox.AsUser(to, f)
	}
	if _, err := os.Lstat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		if err := r.makeDir(o.Dir, to, as); err != nil {
			return nil, err
		}
	}
	err = as(func() (err error) {
		d, err = store.OpenDisk(o)
		return err
	})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: it is recorded as %s, who has no right to that; give it to them, or choose another directory", err, to)
	}
	if err == nil {
		r.writes = append(r.writes, o.Dir)
	}
	return d, err
}

// makeDir makes a directory that is to's: by themselves if they may, else as who we
// still are.
func (r *rights) makeDir(dir string, to sandbox.User, as func(func() error) error) error {
	err := as(func() error { return os.MkdirAll(dir, 0o700) })
	if !errors.Is(err, fs.ErrPermission) || r.user == nil || r.caller {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // which they have to come through
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.Lchown(dir, to.UID, to.GID) // whatever it is by now
}

// closeDisk closes a store, and says what was lost since it was opened.
func closeDisk(d *store.Disk, dir string) error {
	err := d.Close()
	return withLosses(err, d.Stats(), dir)
}

// withLosses says what was lost, and why the store could not be closed, in one.
func withLosses(err error, s store.DiskStats, dir string) error {
	var lost []string
	for _, l := range []struct {
		n    int64
		what string
	}{{s.Refused, "flows"}, {s.Starved, "ends of bodies"}, {s.Unsynced, "times what the system could not put on disk"}} {
		if l.n > 0 {
			lost = append(lost, fmt.Sprintf("%d %s", l.n, l.what))
		}
	}
	switch said := strings.Join(lost, ", "); {
	case said == "":
		return err
	case err != nil:
		return fmt.Errorf("%w; and before, not recorded: %s", err, said)
	default:
		return fmt.Errorf("not recorded in %s: %s", dir, said)
	}
}

// where says where it is recorded.
func (f *recordFlags) where(s store.Store) []string {
	d, ok := s.(*store.Disk)
	if !ok {
		return nil
	}
	line := fmt.Sprintf("recording to %s, up to %s", f.dir, f.max.String())
	if n := d.Stats().Flows; n > 0 {
		line += fmt.Sprintf("; there are %d flows", n)
	}
	if f.age > 0 {
		line += ", for " + f.age.String()
	}
	if f.count.value > 0 {
		line += fmt.Sprintf(", about %d flows", f.count.value)
	}
	if f.lossless {
		line += "; traffic waits for the disk"
	}
	return []string{line}
}

// hurry bounds how long what ends may wait for the disk. stop ends that.
func hurry(ctx context.Context, s store.Store, grace time.Duration) (stop func()) {
	d, ok := s.(*store.Disk)
	if !ok {
		return func() {}
	}
	over := make(chan struct{})
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		select {
		case <-ctx.Done():
		case <-over:
			return
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			d.Release()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-waited
	}
}

// An ageFlag is a duration that may be in days, as in 30d.
type ageFlag durationFlag

// String implements pflag.Value.
func (a *ageFlag) String() string {
	const day = ageFlag(24 * time.Hour)
	switch {
	case *a == 0:
		return "" // the help has no default to name then
	case *a%day == 0:
		return fmt.Sprintf("%dd", *a/day)
	}
	return (*durationFlag)(a).String()
}

// Set implements pflag.Value.
func (a *ageFlag) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n := numberFlag{max: 100_000}
		if err := n.Set(days); err != nil {
			return errAge
		}
		*a = ageFlag(time.Duration(n.value) * 24 * time.Hour)
		return nil
	}
	if strings.Trim(text, "0123456789") == "" && text != "0" {
		return errAge // of what? it deletes
	}
	return (*durationFlag)(a).Set(text)
}

var errAge = errors.New("want a duration such as 30d, 12h or 30m")

// Type implements pflag.Value.
func (a *ageFlag) Type() string { return "DURATION" }
