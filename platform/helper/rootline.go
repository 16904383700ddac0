package helper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A rootLine carries the messages of the pair over a stream, since macOS has no
// packets between processes that keep their ends: each has its length, of two
// bytes, before it.
type rootLine struct{ c net.Conn }

// read returns the next message, which is in buf.
func (l rootLine) read(buf []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(l.c, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(buf) {
		return nil, fmt.Errorf("%w of %d bytes", errBroken, n)
	}
	_, err := io.ReadFull(l.c, buf[:n])
	return buf[:n], err
}

// write sends a message. It does not wait for long: who doesn't read is gone, as far
// as its peer is concerned, and a message that was cut ends the line.
func (l rootLine) write(message []byte) error {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	if err := l.c.SetWriteDeadline(time.Now().Add(rootSayWithin)); err != nil {
		return err
	}
	_, err := l.c.Write(append(b, message...))
	if err != nil {
		return errors.Join(err, l.c.Close())
	}
	return nil
}

func (l rootLine) ask(r request) error {
	var b [requestLen]byte
	return l.write(r.put(&b))
}

func (l rootLine) say(r report) error {
	var b [reportMax]byte
	return l.write(r.put(&b))
}

// rootPair returns the ends of a stream, of which theirs is for another process.
func rootPair() (ours net.Conn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "line")
	if ours, err = connOf(os.NewFile(uintptr(fds[0]), "line")); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// connOf takes a file over.
func connOf(f *os.File) (net.Conn, error) {
	defer f.Close()
	return net.FileConn(f)
}

// startedWith is a descriptor that this process was started with, and that no other
// process gets by chance.
func startedWith(fd uintptr, what string) (*os.File, error) {
	unix.CloseOnExec(int(fd))
	f := os.NewFile(fd, what)
	if f == nil {
		return nil, fmt.Errorf("helper: descriptor %d, %s, is missing: transom starts this by itself", fd, what)
	}
	return f, nil
}
