package capture

import (
	"errors"
	"sync"
	"syscall"
)

// passes reports whether a failed accept is worth another try: the host is
// short of something, or the failure was the one connection's, which accept(2)
// reports although the connection is gone.
func passes(err error) bool {
	var e syscall.Errno
	if !errors.As(err, &e) {
		var t interface{ Timeout() bool }
		return errors.As(err, &t) && t.Timeout() // a deadline that was meant for an earlier Accept
	}
	switch e {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPERM, syscall.EINTR, syscall.EAGAIN,
		syscall.ENETDOWN, syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EHOSTDOWN,
		syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH:
		return true
	}
	return false
}

// remedy says what an operator can do about a failure that passes.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "raise the limit of open files (ulimit -n, LimitNOFILE=)"
	case errors.Is(err, syscall.ENFILE):
		return "raise the system's limit of open files (sysctl fs.file-max)"
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return "the system is short of memory"
	}
	return "trying again"
}

// onceErr does something once and remembers how it went.
type onceErr struct {
	once sync.Once
	err  error
}

func (o *onceErr) do(f func() error) error {
	o.once.Do(func() { o.err = f() })
	return o.err
}
