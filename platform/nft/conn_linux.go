package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Conn talks to the kernel about the rules of one network namespace: that of
// the thread that dialled. Its methods may be called from any goroutine.
//
// The kernel works on a batch while it is being sent, so all it has to say waits
// to be read when the send returns. Each exchange reads until nothing is left;
// no answer to one batch is taken for the answer to another.
type Conn struct {
	port uint32 // which the kernel knows the socket by

	mu  sync.Mutex
	fd  int // -1 when closed
	seq uint32
}

// Dial opens a Conn. Changes through it need CAP_NET_ADMIN.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("nft: open a netfilter socket (is the kernel without nf_tables?): %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("nft: bind a netfilter socket: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("nft: name of a netfilter socket: %w", err)
	}
	// Only for better errors; old kernels do without.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return &Conn{fd: fd, port: name.(*unix.SockaddrNetlink).Pid}, nil
}

// Close ends the Conn, and with it the tables that it owns.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// File returns a copy of the socket, for another process that is to keep alive
// what the Conn owns. The caller closes it.
func (c *Conn) File() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, fmt.Errorf("nft: copy the socket: %w", net.ErrClosed)
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("nft: copy the socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "netfilter"), nil
}

// Commit puts the batch in force as a whole. If it fails nothing has changed;
// the error says for each part that was refused what it is and why, and keeps
// the errno in its chain.
func (c *Conn) Commit(b *Batch) error {
	if b.Empty() {
		return nil
	}
	answers, first, lost, err := c.exchange(b)
	if err != nil {
		return err
	}
	return b.judge(first, answers, lost)
}

// Try asks the kernel whether it would take the batch, and changes nothing: it
// loads the modules that are needed. The error is as Commit's.
func (c *Conn) Try(b *Batch) error {
	const refused = "transom to be refused" // the batch as a whole is, for a table that is not there
	trial := &Batch{sets: b.sets, errs: b.errs, msgs: append(slices.Clone(b.msgs), message{delTable, 0, Inet, str(1, refused), refused})}
	answers, first, lost, err := c.exchange(trial)
	if err != nil {
		return err
	}
	last := first + uint32(len(trial.msgs))
	if i := slices.IndexFunc(answers, func(a answer) bool { return a.seq == last && a.errno == syscall.ENOENT }); i >= 0 {
		answers[i].errno = 0 // as was meant
	}
	return trial.judge(first, answers, lost)
}

// exchange sends a batch and reads what the kernel says to it. The first
// message has the sequence number first.
func (c *Conn) exchange(b *Batch) (answers []answer, first uint32, lost bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, 0, false, fmt.Errorf("nft: commit: %w", net.ErrClosed)
	}
	first = c.seq + 1
	c.seq += uint32(len(b.msgs)) + 2
	data, err := b.marshal(first)
	if err != nil {
		return nil, 0, false, err
	}
	if err := c.send(data); err != nil {
		return nil, 0, false, fmt.Errorf("nft: send %d changes to the kernel: %w", len(b.msgs), err)
	}
	answers, lost = c.drain()
	return answers, first, lost, nil
}

// send sends all in one datagram, as a batch has to be.
func (c *Conn) send(data []byte) error {
	if now, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && now < 2*len(data) {
		if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(data)) != nil {
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*len(data)) // as far as is allowed
		}
	}
	for {
		err := unix.Sendto(c.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// drain reads every answer that waits. lost says that the kernel had more than
// the socket could hold.
func (c *Conn) drain() (answers []answer, lost bool) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		case err != nil: // EAGAIN: that was all
			return answers, lost
		default:
			answers = parseAnswers(answers, buf[:n])
		}
	}
}

// judge tells whether the batch is in force.
func (b *Batch) judge(first uint32, answers []answer, lost bool) error {
	var errs []error
	acked := false
	for _, a := range answers {
		if a.errno == 0 {
			acked = acked || a.seq == first+uint32(len(b.msgs))
			continue
		}
		errs = append(errs, b.refusal(first, a))
	}
	switch {
	case len(errs) > 0:
		return errors.Join(errs...)
	case lost:
		return fmt.Errorf("nft: the kernel's answer is lost: %w", unix.ENOBUFS)
	case !acked:
		return errors.New("nft: the kernel did not confirm the changes")
	}
	return nil
}

// refusal names what the kernel refused.
func (b *Batch) refusal(first uint32, a answer) error {
	what := "batch"
	var owned bool
	if i := int64(a.seq) - int64(first) - 1; i >= 0 && i < int64(len(b.msgs)) {
		what = b.msgs[i].what
		owned = b.msgs[i].typ == newTable
	}
	hint := ""
	switch a.errno {
	case syscall.EPERM:
		hint = ": it needs CAP_NET_ADMIN, or the table is another process's"
	case syscall.EEXIST:
		hint = ": there is one already"
	case syscall.ENOENT:
		hint = ": something it refers to is missing, or the kernel lacks the module for it"
	case syscall.EOPNOTSUPP, syscall.EINVAL:
		if owned {
			hint = ": owned tables need Linux 5.12"
		}
	}
	if a.text != "" {
		hint += " (" + a.text + ")"
	}
	return fmt.Errorf("nft: %s: %w%s", what, a.errno, hint)
}

// An answer is a NLMSG_ERROR message; errno 0 acknowledges.
type answer struct {
	seq   uint32
	errno syscall.Errno
	text  string // the kernel's own words, if it has any
}

// parseAnswers appends the answers in a datagram. What is malformed or of
// another type is skipped.
func parseAnswers(out []answer, b []byte) []answer {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return out
		}
		msg := b[:size]
		b = b[min((size+3)&^3, len(b)):]
		if binary.NativeEndian.Uint16(msg[4:]) != unix.NLMSG_ERROR || size < unix.SizeofNlMsghdr+4 {
			continue
		}
		out = append(out, answer{
			seq:   binary.NativeEndian.Uint32(msg[8:]),
			errno: syscall.Errno(-int32(binary.NativeEndian.Uint32(msg[unix.SizeofNlMsghdr:]))),
			text:  extendedText(msg),
		})
	}
	return out
}

// extendedText finds NLMSGERR_ATTR_MSG behind the error and the header of the
// message it is about. Without NLM_F_CAPPED that message's payload is in
// between.
func extendedText(msg []byte) string {
	const capped, hasTLVs, attrMsg = 0x100, 0x200, 1
	flags := binary.NativeEndian.Uint16(msg[6:])
	at := unix.SizeofNlMsghdr + 4 + unix.SizeofNlMsghdr
	if flags&hasTLVs == 0 || len(msg) < at {
		return ""
	}
	if flags&capped == 0 {
		at += int(binary.NativeEndian.Uint32(msg[unix.SizeofNlMsghdr+4:])) - unix.SizeofNlMsghdr
	}
	for at >= 0 && at+4 <= len(msg) {
		size := int(binary.NativeEndian.Uint16(msg[at:]))
		if size < 4 || at+size > len(msg) {
			return ""
		}
		if binary.NativeEndian.Uint16(msg[at+2:]) == attrMsg {
			return unix.ByteSliceToString(msg[at+4 : at+size])
		}
		at += (size + 3) &^ 3
	}
	return ""
}
