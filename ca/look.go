package ca

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A Fault is what is wrong with an authority's files.
type Fault uint8

// Faults.
const (
	Damaged     Fault = iota + 1 // they are no key and its certificate, or it has expired
	Exposed                      // everybody may read the key
	Replaceable                  // everybody may write to the directory
	Unreadable                   // we may not read the key
	Keyless                      // there is a certificate and no key
	Mixed                        // the certificate beside is another's
	Early                        // it is not valid yet: the clock is wrong
)

// A Trouble is a fault, and where.
type Trouble struct {
	Fault
	Key, Cert string // the files
	Err       error  // what Open says
}

// Look returns the authority kept in dir as Open does, but makes none and writes
// nothing: it returns neither an authority nor trouble if there is none.
func Look(dir string, o Options) (*Authority, *Trouble) {
	o.look = true
	a, err := load(dir, o)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	}
	t := &Trouble{Err: err}
	for _, name := range []string{ownName, otherName} {
		t.Key, t.Cert = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+certSuffix+".pem")
		if exists(t.Key) || exists(t.Cert) {
			break
		}
	}
	t.Fault = t.classify(dir, o)
	return nil, t
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// classify finds out which of the faults is meant, in the order in which load looks
// for them.
func (t *Trouble) classify(dir string, o Options) Fault {
	info, err := os.Stat(t.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(t.Cert):
		return Keyless
	case errors.Is(err, fs.ErrPermission):
		return Unreadable
	case err != nil || !info.Mode().IsRegular():
		return Damaged
	}
	data, err := os.ReadFile(t.Key)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Unreadable
	case refuseReadable(info) != nil:
		return Exposed
	}
	i, err := parseIssuer(data)
	if err != nil {
		return Damaged
	}
	if now := o.clock()(); i.validAt(now) != nil {
		if now.Before(i.cert.NotBefore) {
			return Early
		}
		return Damaged
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
		return Replaceable
	}
	cert, _ := os.ReadFile(t.Cert) // then it is not another's
	if b, _ := pem.Decode(cert); cert != nil && (b == nil || !bytes.Equal(b.Bytes, i.cert.Raw)) {
		return Mixed
	}
	return Damaged
}
