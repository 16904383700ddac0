package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Databases adds to an Overlay, for what reads the person's common NSS database and
// none of the policies that Inside lays over: Electron, and a Chromium too old for them.
// It has certutil put cert into a copy below scratch, a directory of ours that must be
// there. It takes some 50 ms each.
//
// A database's keys sign what it trusts, so they are laid over with it. That is why it is
// not done to profiles, where the key is that of saved passwords.
func (o *Overlay) Databases(ctx context.Context, m *Machine, cert *x509.Certificate, scratch string) error {
	for n, dir := range m.found(shared[:]) {
		if journal := m.journal(filepath.Join(dir, "cert9.db")); journal != "" {
			o.Missed = append(o.Missed, fmt.Sprintf("what uses %s: in use now (%s)", dir, journal))
			continue
		}
		files, err := m.changed(ctx, dir, cert, filepath.Join(scratch, fmt.Sprint(n)))
		if err != nil {
			o.Missed = append(o.Missed, fmt.Sprintf("what uses %s: %v", dir, err))
			continue
		}
		for _, f := range files {
			o.set(f)
		}
	}
	return ctx.Err()
}

// set adds a file, or replaces that of its path.
func (o *Overlay) set(f File) {
	at, there := slices.BinarySearchFunc(o.Files, f, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	if there {
		o.Files[at] = f
		return
	}
	o.Files = slices.Insert(o.Files, at, f)
}

// journal returns the journal of a database that was not closed, or "". It belongs
// to the database, and would be taken for the copy's.
func (m *Machine) journal(db string) string {
	for _, ext := range []string{"-journal", "-wal"} {
		if data := m.read(db + ext); len(data) > 0 {
			return db + ext
		}
	}
	return ""
}

// changed returns what becomes of the files of the database in from when certutil adds
// cert to a copy of them in to, which is made for it.
func (m *Machine) changed(ctx context.Context, from string, cert *x509.Certificate, to string) ([]File, error) {
	if err := os.Mkdir(m.at(to), 0o700); err != nil {
		return nil, err
	}
	names := [...]string{"cert9.db", "key4.db", "pkcs11.txt"}
	for _, name := range names {
		data := m.read(filepath.Join(from, name))
		if data == nil {
			continue
		}
		if err := os.WriteFile(m.at(filepath.Join(to, name)), data, 0o600); err != nil {
			return nil, err
		}
	}
	steps, err := (&database{m, cert, to}).Trust(ctx)
	if err == nil {
		err = m.Do(ctx, steps)
	}
	if err != nil {
		return nil, err
	}
	var files []File
	for _, name := range names[:2] {
		files = append(files, File{Path: filepath.Join(from, name), Data: m.read(filepath.Join(to, name)), Private: true, New: m.file(filepath.Join(from, name)) == ""})
	}
	return files, nil
}
