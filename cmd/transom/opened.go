package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"transom"
	"transom/app/landing"
	"transom/ca"
	"transom/platform"
)

// What a run opens before it gives its rights up: the authority, the key log, and the
// file for flows. The store is in recording.go.

// authority opens what the proxy signs with and the key log. The returned
// function closes the latter.
func (f *proxyFlags) authority(p *transom.Proxy, r *rights) (signer ca.Info, done func() error, err error) {
	authority, err := openAuthority(f.caDir, r)
	if err != nil {
		return signer, nil, err
	}
	signer = authority.Info()
	p.Issuer = authority
	p.Direct = landing.Handler(authority)
	if f.keylog == "" {
		return signer, func() error { return nil }, nil
	}
	file, err := r.create(f.keylog, os.O_APPEND)
	if err != nil {
		return signer, nil, usagef("--keylog: %w", err)
	}
	p.KeyLog = file
	return signer, file.Close, nil
}

// output opens what flows are written to. Like mitmproxy's, a name that begins
// with + is of a file that is kept and added to; like a shell's, &3 is what we were
// given as descriptor 3. stdout is where they go without a name, and to "-".
func (f *proxyFlags) output(stdout io.Writer, r *rights) (out io.Writer, done func() error, err error) {
	if f.out == "" || f.out == "-" {
		return stdout, func() error { return nil }, nil
	}
	if number, ok := strings.CutPrefix(f.out, "&"); ok {
		file, err := given(number)
		if err != nil {
			return nil, nil, usagef("-o: %w", err)
		}
		return file, file.Close, nil
	}
	name, appending := strings.CutPrefix(f.out, "+")
	mode := os.O_APPEND
	if !appending {
		mode |= os.O_TRUNC
	}
	file, err := r.create(name, mode)
	if err != nil {
		return nil, nil, usagef("-o: %w", err)
	}
	return file, file.Close, nil
}

// given is a descriptor that the process was started with.
func given(number string) (*os.File, error) {
	fd, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no number of a descriptor", number)
	}
	if !platform.Given(uintptr(fd)) {
		return nil, fmt.Errorf("descriptor %s is not open: open it where transom is started, as a shell does by %s>FILE", number, number)
	}
	file := os.NewFile(uintptr(fd), "&"+number)
	if _, err := file.Write(nil); err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, fmt.Errorf("descriptor %s can't be written to: %w", number, err)
	}
	return file, nil
}
