package owner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// Of linux/inet_diag.h: struct inet_diag_req_v2 has struct inet_diag_sockid behind
// eight bytes, and struct inet_diag_msg behind four.
const (
	requestSize = 56
	requestIDAt = 8
	infoSize    = 72
	infoState   = 1
	infoIDAt    = 4
	infoUID     = 64
	infoInode   = 68

	idSource, idDestination, idInterface, idCookie = 4, 20, 36, 40

	attrCgroup = 21 // INET_DIAG_CGROUP_ID, of Linux 5.8
	byFamily   = 20 // SOCK_DIAG_BY_FAMILY
	stateListn = 10 // TCP_LISTEN
)

// errNone says that nobody has a socket, or has it any more.
var errNone = errors.New("no process has this socket")

// A held socket is what the kernel says of one.
type held struct {
	uid    int
	inode  uint32
	cgroup uint64 // the inode of its directory; 0 if the kernel does not say
}

// sockets asks the kernel for sockets of the network that it was opened in.
type sockets struct {
	fd      int
	seq     uint32
	buf     [4096]byte
	devices devices
}

// openSockets opens a socket to ask for others by: those of this network.
func openSockets() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return -1, fmt.Errorf("open a socket to ask for sockets by: %w", err)
	}
	return fd, nil
}

// lookUp finds the socket that a client here has. One that is bound to a device
// (SO_BINDTODEVICE) is found by that device alone.
func (s *sockets) lookUp(q *question) (held, error) {
	device := interfaceOf(q.client.Addr().Zone())
	h, err := s.on(q, device)
	if device != 0 || !errors.Is(err, errNone) {
		return h, err
	}
	if device = s.devices.with(q.client.Addr()); device == 0 {
		return h, err
	}
	return s.on(q, device)
}

func (s *sockets) on(q *question, device uint32) (held, error) {
	s.seq++
	b := s.buf[:unix.SizeofNlMsghdr+requestSize]
	clear(b)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], byFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], s.seq)
	q.request(b[unix.SizeofNlMsghdr:], device)
	if err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return held{}, err
	}
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return held{}, err
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
			continue
		}
		if h, err := readReply(s.buf[:n], s.seq); !errors.Is(err, errOther) {
			return h, err
		}
	}
}

// request writes a struct inet_diag_req_v2.
func (q *question) request(b []byte, device uint32) {
	b[0], b[1] = unix.AF_INET, unix.IPPROTO_TCP
	if q.client.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	local, remote := q.client, q.dst
	if q.udp { // whose ends are the other way about, for historical reasons
		b[1] = unix.IPPROTO_UDP
		local, remote = q.dst, q.client
	}
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // any state
	id := b[requestIDAt:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[idSource:], local.Addr().AsSlice())
	copy(id[idDestination:], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint32(id[idInterface:], device)
	for i := range 8 {
		id[idCookie+i] = 0xff // whichever
	}
}

// interfaceOf is the number of a zone, 0 if there is none.
func interfaceOf(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // then the socket is not found
	}
	return uint32(i.Index)
}

// errOther is of a reply to something that was asked before.
var errOther = errors.New("a reply to another request")

// readReply reads the kernel's reply to request seq.
func readReply(b []byte, seq uint32) (held, error) {
	if len(b) < unix.SizeofNlMsghdr {
		return held{}, fmt.Errorf("a reply of %d bytes", len(b))
	}
	size, kind := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint16(b[4:])
	if binary.NativeEndian.Uint32(b[8:]) != seq {
		return held{}, errOther
	}
	if size < unix.SizeofNlMsghdr || size > uint32(len(b)) {
		return held{}, fmt.Errorf("a reply of %d bytes that says %d", len(b), size)
	}
	switch b = b[unix.SizeofNlMsghdr:size]; {
	case kind == byFamily:
		return readInfo(b)
	case kind != unix.NLMSG_ERROR || len(b) < 4:
		return held{}, fmt.Errorf("a reply of kind %d", kind)
	}
	if e := unix.Errno(-int32(binary.NativeEndian.Uint32(b))); e != unix.ENOENT {
		return held{}, fmt.Errorf("look for a socket: %w", e)
	}
	return held{}, errNone
}

// readInfo reads a struct inet_diag_msg and the attributes that follow.
func readInfo(b []byte) (held, error) {
	if len(b) < infoSize {
		return held{}, fmt.Errorf("a socket of %d bytes", len(b))
	}
	h := held{
		uid:   int(binary.NativeEndian.Uint32(b[infoUID:])),
		inode: binary.NativeEndian.Uint32(b[infoInode:]),
	}
	if h.inode == 0 || b[infoState] == stateListn { // it was closed; or another has the port and waits for clients
		return held{}, errNone
	}
	for b = b[infoSize:]; len(b) >= unix.SizeofRtAttr; {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofRtAttr || n > len(b) {
			return held{}, errors.New("an attribute that ends before it begins, or behind all")
		}
		if kind == attrCgroup && n == unix.SizeofRtAttr+8 {
			h.cgroup = binary.NativeEndian.Uint64(b[unix.SizeofRtAttr:])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return h, nil
}
