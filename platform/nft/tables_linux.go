package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Tables lists the names of all tables of a family, ours and others'.
func (c *Conn) Tables(f Family) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, fmt.Errorf("nft: list tables: %w", net.ErrClosed)
	}
	c.seq++
	if err := c.send(appendMessage(nil, subsysTables<<8|getTable, flagRequest|flagDump, c.seq, f, 0, nil)); err != nil {
		return nil, fmt.Errorf("nft: list tables: %w", err)
	}
	var names []string
	buf := make([]byte, 64<<10)
	for {
		// A dump goes on as it is read: the next part is there when one is taken.
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("nft: list tables: %w", err)
		}
		more, done, err := tableNames(buf[:n], c.seq)
		names = append(names, more...)
		if err != nil {
			return nil, fmt.Errorf("nft: list tables: %w", err)
		}
		if done {
			return names, nil
		}
	}
}

// tableNames reads one datagram of a dump; done says that it was the last.
func tableNames(b []byte, seq uint32) (names []string, done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return names, true, errors.New("the kernel's answer is malformed")
		}
		msg := b[:size]
		b = b[min((size+3)&^3, len(b)):]
		if binary.NativeEndian.Uint32(msg[8:]) != seq {
			continue
		}
		switch typ := binary.NativeEndian.Uint16(msg[4:]); {
		case typ == unix.NLMSG_DONE:
			return names, true, nil
		case typ == unix.NLMSG_ERROR && size >= unix.SizeofNlMsghdr+4:
			return names, true, syscall.Errno(-int32(binary.NativeEndian.Uint32(msg[unix.SizeofNlMsghdr:])))
		case typ == subsysTables<<8|newTable && size > 20:
			if name := firstString(msg[20:], 1); name != "" {
				names = append(names, name)
			}
		}
	}
	return names, false, nil
}

// firstString returns the first attribute of a type, as a string.
func firstString(attrs []byte, typ uint16) string {
	for len(attrs) >= 4 {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < 4 || size > len(attrs) {
			return ""
		}
		if binary.NativeEndian.Uint16(attrs[2:]) == typ {
			return unix.ByteSliceToString(attrs[4:size])
		}
		attrs = attrs[min((size+3)&^3, len(attrs)):]
	}
	return ""
}
