package helper

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// An occupant has the abstract socket that is the lock.
type occupant struct {
	uid       int // who made the socket; -1 if that can't be known
	pid       int // who listens at it; 0 if nobody does or it can't be known
	listening bool
}

// occupies tells who has the abstract socket, and false if nobody does, as far as can
// be known. The kernel is asked for its sockets (sock_diag(7)): what a connection to
// one tells, who has it can keep from us, by filling its queue.
func occupies() (occupant, bool) {
	o, found, err := diagnosed()
	if err != nil {
		o.uid = -1
	}
	cred, err2 := listener()
	switch {
	case err2 == nil:
		o.pid, o.listening = int(cred.Pid), true
		if err != nil {
			o.uid = int(cred.Uid)
		} else if int(cred.Uid) != o.uid {
			o.pid = 0 // it was handed on, and whose it is counts
		}
		return o, true
	case err != nil && errors.Is(err2, unix.EAGAIN):
		return occupant{uid: -1, listening: true}, true // its queue is full
	}
	return o, found
}

// who names it for a person.
func (o occupant) who() string {
	switch {
	case o.pid != 0:
		return fmt.Sprintf("process %d of user %d", o.pid, o.uid)
	case o.uid >= 0:
		return fmt.Sprintf("a process of user %d", o.uid)
	}
	return "somebody"
}

// remedy is what to do about it.
func (o occupant) remedy() string {
	if o.pid != 0 {
		return "end that first"
	}
	return "look for it with ss -xlp (ss -xap if nobody listens), and end it first"
}

// diagnosed asks the kernel for the stream socket of the name.
func diagnosed() (o occupant, found bool, err error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return o, false, err
	}
	defer c.Close()
	const showName, showUID = 0x1, 0x40
	req := make([]byte, 24) // struct unix_diag_req
	req[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(req[4:], ^uint32(0)) // all states
	binary.NativeEndian.PutUint32(req[12:], showName|showUID)
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   req,
	})
	if err != nil {
		return o, false, err
	}
	for _, a := range answers {
		if o, ok := parseOccupant(a.Data, "\x00"+lockName[1:]); ok {
			return o, true, nil
		}
	}
	return o, false, nil
}

// parseOccupant reads a struct unix_diag_msg and what follows it. ok says that it is
// of a stream socket that was bound to a name: connections that were accepted have
// their listener's.
func parseOccupant(b []byte, name string) (o occupant, ok bool) {
	const header, closed, listen = 16, 7, 10 // TCP_CLOSE, TCP_LISTEN
	if len(b) < header || b[1] != unix.SOCK_STREAM || b[2] != closed && b[2] != listen {
		return o, false
	}
	o = occupant{uid: -1, listening: b[2] == listen}
	attrs, err := netlink.NewAttributeDecoder(b[header:])
	if err != nil {
		return o, false
	}
	const diagName, diagUID = 0, 7
	for attrs.Next() {
		switch attrs.Type() {
		case diagName:
			ok = string(attrs.Bytes()) == name
		case diagUID:
			if v := attrs.Bytes(); len(v) == 4 {
				o.uid = int(binary.NativeEndian.Uint32(v))
			}
		}
	}
	return o, ok && attrs.Err() == nil
}

// listener tells who listens at the abstract socket. EAGAIN says that somebody does.
func listener() (*unix.Ucred, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: lockName}); err != nil {
		return nil, err
	}
	return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
}
