package helper

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pair is one end of the socket pair. Sending never waits: who does not read
// loses what does not fit into the kernel's queue.
type pair struct {
	f   *os.File
	raw syscall.RawConn
}

// newPair returns both ends. They are closed at exec. Only the proxy's is put into
// Go's poller: the watch has the other one as well, and would be woken by every
// request to the helper.
func newPair() (proxy, helper *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "helper"), os.NewFile(uintptr(fds[1]), "proxy"), nil
}

// pairOf takes over a file that is an end of a pair.
func pairOf(f *os.File) (*pair, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &pair{f, raw}
	return p, p.check()
}

// check refuses what is not an end of a socket pair, which is what there is if a
// person starts the helper.
func (p *pair) check() (err error) {
	return p.on(func(fd int) error {
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
			return errors.New("descriptor 3 is no socket pair: the gateway starts this by itself")
		}
		return nil
	})
}

// on calls f with the descriptor.
func (p *pair) on(f func(fd int) error) error {
	var err error
	if e := p.raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// send sends a message, with a descriptor unless it is negative. It returns EAGAIN
// if the other side does not read.
func (p *pair) send(b []byte, with int) error {
	var oob []byte
	if with >= 0 {
		oob = unix.UnixRights(with)
	}
	return p.on(func(fd int) error {
		for {
			err := unix.Sendmsg(fd, b, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
}

// fdsMax is how many descriptors a message may bring; the kernel keeps back those
// that there is no room for.
const fdsMax = 2

// received is what came with a message.
type received struct {
	n   int // bytes; 0 is the end
	fds [fdsMax]int
	has int  // how many fds
	cut bool // there were more bytes or descriptors than fit
}

// closeAll closes the descriptors.
func (r *received) closeAll() {
	for _, fd := range r.fds[:r.has] {
		discard(fd)
	}
	r.has = 0
}

// discard closes a descriptor of unknown kind. A socket that lingers would hold up
// who closes it last.
func discard(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // ENOTSOCK, mostly
	_ = unix.Close(fd)
}

// receive takes one message from fd without waiting: EAGAIN is none. buf should
// have room for a byte more than is expected.
func receive(fd int, buf []byte) (r received, err error) {
	var oob [64]byte // filled up to the space of fdsMax
	n, oobn, flags := 0, 0, 0
	for {
		n, oobn, flags, _, err = unix.Recvmsg(fd, buf, oob[:unix.CmsgSpace(4*fdsMax)], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return received{}, err
	}
	r.n = n
	r.cut = flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0
	if oobn > 0 {
		r.take(oob[:oobn])
	}
	return r, nil
}

// take picks up the descriptors.
func (r *received) take(oob []byte) {
	parts, err := unix.ParseSocketControlMessage(oob)
	r.cut = r.cut || err != nil
	for i := range parts {
		fds, err := unix.ParseUnixRights(&parts[i])
		r.cut = r.cut || err != nil
		for _, fd := range fds {
			if r.has == fdsMax {
				r.cut = true
				discard(fd)
				continue
			}
			r.fds[r.has] = fd
			r.has++
		}
	}
}

// wait is receive, but waits for a message. A pair that is closed meanwhile is
// os.ErrClosed.
func (p *pair) wait(buf []byte) (r received, err error) {
	e := p.raw.Read(func(fd uintptr) bool {
		r, err = receive(int(fd), buf)
		return !errors.Is(err, unix.EAGAIN)
	})
	if e != nil {
		return received{}, e
	}
	return r, err
}

// queueMax is more messages than a queue holds: each takes some hundred bytes of its
// sender's buffer, whatever is in it.
const queueMax = 1 << 16

// deafen takes no messages any more, and closes what came with those that nobody
// has read: a descriptor that waits in the queue is open, and among them may be
// what tells that its sender lives.
func (p *pair) deafen() {
	_ = p.on(func(fd int) error { // the other side may be gone
		err := unix.Shutdown(fd, unix.SHUT_RD)
		var b [1]byte
		for range queueMax { // an empty message looks like the end
			r, e := receive(fd, b[:])
			r.closeAll()
			if e != nil {
				return errors.Join(err, e)
			}
		}
		return err
	})
}

// errnoOf is the errno in a chain, or EIO.
func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}
