//go:build darwin || freebsd || openbsd

package pf

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// A File is /dev/pf, opened to be read: to look a state up takes no more. FreeBSD
// and OpenBSD ask for rights when it is opened; macOS asks at each request.
type File struct{ f *os.File }

// Open opens it.
func Open() (*File, error) {
	f, err := os.OpenFile("/dev/pf", os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// Close implements io.Closer.
func (f *File) Close() error { return f.f.Close() }

// Ioctl implements Device.
func (f *File) Ioctl(request uint32, arg []byte) error {
	if size := int(request >> 16 & 0x1fff); len(arg) < size {
		return fmt.Errorf("pf: request %#x takes %d bytes, not %d", request, size, len(arg))
	}
	rc, err := f.f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = rc.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, uintptr(request), uintptr(unsafe.Pointer(unsafe.SliceData(arg))))
	})
	runtime.KeepAlive(arg)
	switch {
	case err != nil:
		return err
	case errno != 0:
		return errno
	}
	return nil
}
