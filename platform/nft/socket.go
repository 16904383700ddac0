package nft

import (
	"fmt"
	"slices"
	"strings"
)

// Keys of the socket expression (enum nft_socket_keys).
const (
	socketTransparent = 0
	socketMark        = 1
	socketWildcard    = 2
	socketCgroup      = 3
)

func socket(key uint32) []byte {
	return expr("socket", be32(1, key), be32(2, reg1), be32(3, 0))
}

// SocketTransparent matches packets for which this host has a socket that is
// transparent: those of connections that TPROXY took, and answers to
// connections made from foreign addresses, also while they are being opened and
// after they were closed. A listener on all addresses counts, and has every
// packet to its port: a rule with SocketWildcard before this one sees to that.
func SocketTransparent() Stmt {
	return Stmt{text: "socket transparent 1", exprs: func(*encoder) []byte {
		return slices.Concat(socket(socketTransparent), cmp(equal, []byte{1}))
	}}
}

// SocketWildcard matches packets whose socket is on all addresses. It asks of
// established sockets and listeners only: a rule must not want the opposite, as
// the kernel ends it where a connection is being opened or has been closed.
func SocketWildcard() Stmt {
	return Stmt{text: "socket wildcard 1", exprs: func(*encoder) []byte {
		return slices.Concat(socket(socketWildcard), cmp(equal, []byte{1}))
	}}
}

// SocketMark matches packets whose socket's mark is value in the bits of mask.
// As with SocketWildcard, a connection that is being opened has none.
func SocketMark(value, mask uint32) Stmt {
	return Stmt{text: fmt.Sprintf("socket mark & 0x%08x == 0x%08x", mask, value), exprs: func(*encoder) []byte {
		return slices.Concat(socket(socketMark), bitwise(native(mask), native(0)), cmp(equal, native(value)))
	}}
}

// SocketCgroup matches packets of sockets that programs in a cgroup, or below
// it, opened. The path is that below the mount of cgroup2. The kernel is given
// the cgroup's number, so that one made anew by the same name does not match.
func SocketCgroup(path string) Stmt {
	path = strings.Trim(path, "/")
	level := uint32(strings.Count(path, "/") + 1)
	return Stmt{text: fmt.Sprintf("socket cgroupv2 level %d \"%s\"", level, path), exprs: func(e *encoder) []byte {
		id, err := cgroupID(path)
		if err != nil {
			e.fail("cgroup %q: %w", path, err)
			return nil
		}
		return slices.Concat(
			expr("socket", be32(1, socketCgroup), be32(2, reg1), be32(3, level)),
			cmp(equal, native64(id)))
	}}
}
