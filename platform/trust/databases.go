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

// Databases adds to an Overlay, for what has NSS databases and no policies that
// Inside could lay over: Electron, Thunderbird, a Chromium too old for the policy. It has certutil put
// cert into copies of the person's, below scratch, a directory of ours that must be
// there. It takes some 20 ms each.
func (o *Overlay) Databases(ctx context.Context, m *Machine, cert *x509.Certificate, scratch string) error {
	for n, dir := range m.databases() {
		db := filepath.Join(dir, "cert9.db")
		if journal := m.journal(db); journal != "" {
			o.Missed = append(o.Missed, fmt.Sprintf("what uses %s: in use now (%s)", dir, journal))
			continue
		}
		data, err := m.changed(ctx, db, cert, filepath.Join(scratch, fmt.Sprint(n)))
		if err != nil {
			o.Missed = append(o.Missed, fmt.Sprintf("what uses %s: %v", dir, err))
			continue
		}
		o.set(File{Path: db, Data: data, Private: true})
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

// changed returns what becomes of a database when certutil adds cert to a copy of it
// in dir, which is made for it.
func (m *Machine) changed(ctx context.Context, db string, cert *x509.Certificate, dir string) ([]byte, error) {
	if err := os.Mkdir(m.at(dir), 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"cert9.db", "key4.db", "pkcs11.txt"} {
		data := m.read(filepath.Join(filepath.Dir(db), name))
		if data == nil {
			continue
		}
		if err := os.WriteFile(m.at(filepath.Join(dir, name)), data, 0o600); err != nil {
			return nil, err
		}
	}
	d := &database{m, cert, dir}
	steps, err := d.Trust(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.Do(ctx, steps); err != nil {
		return nil, err
	}
	return m.read(filepath.Join(dir, "cert9.db")), nil
}
