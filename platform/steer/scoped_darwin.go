package steer

import "golang.org/x/sys/unix"

// scoped marks routes that are for sockets of one interface alone.
const scoped = unix.RTF_IFSCOPE
