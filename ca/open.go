package ca

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The files of an authority. NAME.pem holds its key and certificate, and
// NAME-cert.pem the certificate alone, to be handed out.
const (
	ownName    = "transom-ca"
	otherName  = "mitmproxy-ca"
	certSuffix = "-cert"
)

// maxFile bounds what is read of a file that should hold a key.
const maxFile = 1 << 20

// Open returns the authority kept in dir. If there is none it makes one, once:
// processes that start at the same time end with the same authority.
//
//  1. transom-ca.pem is ours: key and certificate. Open refuses it if everybody
//     may read it, or if everybody may write to dir.
//  2. mitmproxy-ca.pem is mitmproxy's. It is used as it is, and nothing is
//     written to dir.
//  3. With neither, dir is made (mode 0700), with transom-ca.pem (0600) and
//     transom-ca-cert.pem (0644) in it.
//
// Errors say which file is at fault and what to do about it.
func Open(dir string, o Options) (*Authority, error) {
	a, err := load(dir, o)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	made, err := create(dir, o)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority in %s: %w", dir, err)
	}
	a, err = load(dir, o)
	if errors.Is(err, fs.ErrNotExist) { // and there is something of that name
		return nil, fmt.Errorf("certificate authority %s: it is a link that leads nowhere: remove it", filepath.Join(dir, ownName+".pem"))
	}
	if err != nil {
		return nil, err
	}
	a.made = made
	return a, nil
}

// load returns the authority in dir, or fs.ErrNotExist if there is none.
func load(dir string, o Options) (*Authority, error) {
	for _, name := range []string{ownName, otherName} {
		a, err := loadNamed(dir, name, o)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
	}
	return nil, fs.ErrNotExist
}

// loadNamed looks at the certificate before the key: who makes an authority
// writes the key first, so a certificate that is there has a key beside it, or
// has lost it.
func loadNamed(dir, name string, o Options) (*Authority, error) {
	path := filepath.Join(dir, name+".pem")
	certPath := filepath.Join(dir, name+certSuffix+".pem")
	cert, certErr := readFile(certPath, nil)
	check := refuseReadable
	if name != ownName {
		check = nil
	}
	data, err := readFile(path, check)
	if errors.Is(err, fs.ErrNotExist) {
		if certErr == nil {
			return nil, fmt.Errorf("certificate authority %s: its private key is missing but %s is there: "+
				"restore the key from a copy, or remove the certificate too to have a new authority made, "+
				"which the devices must then install", path, certPath)
		}
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", path, err)
	}
	i, err := parseIssuer(data)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", path, err)
	}
	a := o.authority(i)
	a.path, a.base = path, name+certSuffix
	if err := i.validAt(a.now()); err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", path, err)
	}
	if name == ownName {
		return a, a.tend(dir, o, cert, certErr)
	}
	return a, nil
}

// tend looks after what is ours in dir: nobody else may write there, and the
// certificate alone is the one in the key's file.
func (a *Authority) tend(dir string, o Options, cert []byte, certErr error) error {
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("certificate authority %s: everybody may write to %s and so put another one there: "+
			"chmod go-w %s", a.path, dir, dir)
	}
	switch b, _ := pem.Decode(cert); {
	case o.look && errors.Is(certErr, fs.ErrNotExist):
	case errors.Is(certErr, fs.ErrNotExist):
		// Somebody removed it, or a start was cut short. It is only for
		// convenience: a directory that can't be written to is as good.
		_ = writeOnce(dir, ownName+certSuffix+".pem", certPEM(a.root.cert.Raw), 0o644, o.Owner)
	case certErr == nil && (b == nil || !bytes.Equal(b.Bytes, a.root.cert.Raw)):
		return fmt.Errorf("certificate authority %s: %s%s.pem beside it is another certificate: remove that, "+
			"or restore the key that belongs to it", a.path, ownName, certSuffix)
	}
	return nil
}

// refuseReadable says why a key of ours is no secret, if it is none. A group
// may read it: that is a way to share one.
func refuseReadable(info fs.FileInfo) error {
	if info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("everybody on this machine may read the private key (mode %04o): "+
			"chmod 600 the file, and if others use this machine, remove it to have a new authority made",
			info.Mode().Perm())
	}
	return nil
}

// readFile reads a small regular file, if check, which may be nil, has nothing
// against it.
func readFile(path string, check func(fs.FileInfo) error) ([]byte, error) {
	// A pipe would block Open, so look first; the open file is looked at again.
	if info, err := os.Stat(path); err != nil {
		return nil, plain(err)
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file: move it away")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if check != nil {
		if err := check(info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, plain(err)
	}
	return data, nil
}

// plain takes off an error of package os what it did, and to which path; the
// caller names these.
func plain(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied: run as its owner, or use another directory (--ca-dir)")
	case errors.Is(err, syscall.ENOTDIR):
		return errors.New("that is in no directory: name one with --ca-dir")
	case errors.Is(err, syscall.EROFS):
		return errors.New("that can only be read: use another directory (--ca-dir)")
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
