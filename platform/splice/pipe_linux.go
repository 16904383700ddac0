package splice

import (
	"errors"

	"golang.org/x/sys/unix"
)

// A pipe is where the kernel puts pages between two sockets.
type pipe struct {
	r, w int
	size int
}

// pipeSize is asked for first, then modestPipe; smallestPipe is the least that is
// faster than a buffer. An unprivileged user who has many pipes gets smaller
// ones (fs.pipe-user-pages-soft).
const (
	pipeSize     = 1 << 20
	modestPipe   = 256 << 10
	smallestPipe = 64 << 10
)

// newPipe returns nil if there is no pipe of a useful size to be had.
func newPipe() *pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	p := &pipe{r: fds[0], w: fds[1]}
	if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		_, _ = unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, modestPipe) // what it has is asked next
	}
	size, err := unix.FcntlInt(uintptr(p.w), unix.F_GETPIPE_SZ, 0)
	if err != nil || size < smallestPipe {
		p.close()
		return nil
	}
	p.size = size
	return p
}

func (p *pipe) close() {
	unix.Close(p.r)
	unix.Close(p.w)
}

const flags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// fill moves bytes from a socket into the pipe, which is empty; 0 is the end of
// the stream.
func (p *pipe) fill(fd int) (int, error) {
	n, err := unix.Splice(fd, nil, p.w, nil, p.size, flags)
	return int(n), err
}

// drain moves bytes from the pipe, which holds n, to a socket.
func (p *pipe) drain(fd, n int) (int, error) {
	done, err := unix.Splice(p.r, nil, fd, nil, n, flags)
	return int(done), err
}

// cannotSplice reports whether err says that the kernel never will splice from
// such a socket.
func cannotSplice(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}
