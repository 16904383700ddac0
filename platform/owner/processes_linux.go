package owner

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"transom/flow"
)

// processesMost bounds how many processes are looked at in one search.
const processesMost = 1 << 16

// processes are all, those that began last at first: what has just connected has often
// just begun.
func processes() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(processesMost) // some are better than none
	return pidsIn(names)
}

// pidsIn are the words that are pids, the highest first.
func pidsIn(words []string) []int {
	pids := make([]int, 0, min(len(words), processesMost))
	for _, w := range words {
		if pid, err := strconv.Atoi(w); err == nil && pid > 0 && len(pids) < processesMost {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int { return b - a })
	return pids
}

// processorTime is how much of a processor's time this process has had.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // there is one
	return time.Duration(t.Nano())
}

// A table is what a process has open. It is that process's as long as it is open, even
// if another one gets the number: then there is nothing in it.
type table struct{ dir int }

func openTable(pid int) (table, error) {
	var b [32]byte
	path := append(strconv.AppendInt(append(b[:0], "/proc/"...), int64(pid), 10), "/fd"...)
	fd, err := unix.Open(string(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return table{fd}, err
}

func (t table) close() { _ = unix.Close(t.dir) } // nothing was written

// socket is the inode of the socket that a descriptor is, 0 if it is none. Its number
// ends with a zero, as it does in a directory: a process may have a million of them.
func (t table) socket(fd []byte) uint32 {
	var b [32]byte
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(t.dir), uintptr(unsafe.Pointer(&fd[0])), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
	const before = "socket:["
	if errno != 0 || n <= uintptr(len(before)) || string(b[:len(before)]) != before {
		return 0
	}
	inode := uint64(0)
	for _, c := range b[len(before) : n-1] {
		if c < '0' || c > '9' || inode > math.MaxUint32 {
			return 0
		}
		inode = 10*inode + uint64(c-'0')
	}
	if b[n-1] != ']' || inode > math.MaxUint32 {
		return 0
	}
	return uint32(inode)
}

// each calls f with all sockets in the table until it returns false, or the time is
// over: then it returns false.
func (t table) each(room []byte, over time.Duration, f func(fd []byte, inode uint32) bool) bool {
	for {
		n, err := unix.Getdents(t.dir, room)
		if err != nil || n <= 0 {
			return true // it has ended, or that was all
		}
		for left := room[:n]; len(left) > 0; {
			var name []byte
			name, left = entry(left)
			if name == nil || name[0] == '.' {
				continue
			}
			if inode := t.socket(name); inode != 0 && !f(name, inode) {
				return true
			}
		}
		if processorTime() > over {
			return false
		}
	}
}

// entry takes the first name out of what getdents64(2) gives, with the zero that ends
// it; nil if there is none.
func entry(b []byte) (name, rest []byte) {
	const sizeAt, nameAt = 16, 19
	if len(b) <= nameAt {
		return nil, nil
	}
	size := int(binary.NativeEndian.Uint16(b[sizeAt:]))
	if size <= nameAt || size > len(b) {
		return nil, nil
	}
	name, rest = b[nameAt:size], b[size:]
	end := bytes.IndexByte(name, 0)
	if end <= 0 {
		return nil, rest
	}
	return name[:end+1], rest
}

// describe says which program the process is. Its cgroup is taken where the kernel has
// said nothing of the socket's.
func (t table) describe(p *flow.Process, room []byte) {
	p.Name = strings.TrimSuffix(t.read("../comm", room), "\n")
	if n, err := unix.Readlinkat(t.dir, "../exe", room); err == nil {
		p.Path = string(room[:n])
	}
	if p.Cgroup == "" || p.Cgroup == "/" {
		if c := cgroupIn(t.read("../cgroup", room)); c != "" {
			p.Cgroup = c
		}
	}
}

// read reads a file of the process's, as far as there is room.
func (t table) read(name string, room []byte) string {
	fd, err := unix.Openat(t.dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	at := 0
	for at < len(room) {
		n, err := unix.Read(fd, room[at:])
		if err != nil || n <= 0 {
			break
		}
		at += n
	}
	return string(room[:at])
}
