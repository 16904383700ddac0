package rootless

import (
	"encoding/gob"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// A line is one end of the socket pair.
type line struct{ c *net.UnixConn }

// newLine returns our end, and the other for the keeper.
func newLine() (*line, *os.File, error) {
	c, far, err := platform.NewPair("keeper", "proxy")
	return &line{c}, far, err
}

// lineOf takes over a file that is an end of a pair.
func lineOf(f *os.File) (*line, error) {
	c, err := platform.TakePair(f)
	return &line{c}, err
}

// send sends a message, with descriptors, which stay the caller's.
func (l *line) send(m *message, fds ...int) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = l.c.WriteMsgUnix(b, oob, nil)
	return err
}

// sendValue sends a message with a value that may be large, through a pipe: a
// process that has given up its rights still can.
func (l *line) sendValue(m *message, v any, fds ...int) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	err = l.send(m, append([]int{int(r.Fd())}, fds...)...)
	r.Close()
	if err != nil {
		return err
	}
	return gob.NewEncoder(w).Encode(v)
}

// receive waits for a message. The files that come with it are the caller's.
func (l *line) receive() (*message, []*os.File, error) {
	b := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, _, _, err := l.c.ReadMsgUnix(b, oob)
	if errors.Is(err, unix.ECONNRESET) { // the other end is closed and has not read all; what it has said is still here
		n, oobn, _, _, err = l.c.ReadMsgUnix(b, oob)
	}
	if err == nil && n == 0 {
		err = ErrLost
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := filesOf(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	m, err := decode(b[:n])
	if err != nil {
		closeFiles(files)
	}
	return m, files, err
}

func filesOf(oob []byte) ([]*os.File, error) {
	parts, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range parts {
		fds, err := unix.ParseUnixRights(&parts[i])
		if err != nil {
			continue // something else that the kernel says
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
