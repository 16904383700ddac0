package sandbox

import (
	"math/bits"
	"strconv"
	"strings"
)

// A Cap is one of Linux's capabilities, by the kernel's number.
type Cap uint8

// Capabilities that a gateway needs, or who keeps a program, or looks for one.
const (
	DACOverride    Cap = 1  // files and directories that nobody may change
	DACReadSearch  Cap = 2  // files and directories that only others may read
	Kill           Cap = 5  // end the processes of others
	NetBindService Cap = 10 // ports below 1024
	NetAdmin       Cap = 12 // rules, routes, settings
	NetRaw         Cap = 13 // transparent sockets, marks
	SysPtrace      Cap = 19 // what processes of others have open
)

// Capabilities that giving up takes, or that reach past the permissions of files.
const (
	chown          Cap = 0
	fowner         Cap = 3
	fsetid         Cap = 4
	setgid         Cap = 6
	setuid         Cap = 7
	setpcap        Cap = 8
	linuxImmutable Cap = 9
	mknod          Cap = 27
	macOverride    Cap = 32
)

// capNames are the kernel's, by number.
var capNames = [...]string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
	"net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace",
	"sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write",
	"audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
}

// String returns the name as setcap takes it.
func (c Cap) String() string {
	if int(c) < len(capNames) {
		return "cap_" + capNames[c]
	}
	return "cap_" + strconv.Itoa(int(c))
}

// A Set is a set of capabilities. Its bits are the kernel's.
type Set uint64

// SetOf returns the set of caps.
func SetOf(caps ...Cap) (s Set) {
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// Has reports whether all of caps are in the set.
func (s Set) Has(caps ...Cap) bool { return SetOf(caps...)&^s == 0 }

// Missing returns those of needed that are not in the set.
func (s Set) Missing(needed ...Cap) Set { return SetOf(needed...) &^ s }

// Caps returns the set's members in the order of their numbers.
func (s Set) Caps() (caps []Cap) {
	for ; s != 0; s &= s - 1 {
		caps = append(caps, Cap(bits.TrailingZeros64(uint64(s))))
	}
	return caps
}

// String lists the names as setcap takes them: "cap_net_admin,cap_net_raw". The
// empty set is "".
func (s Set) String() string {
	var names []string
	for _, c := range s.Caps() {
		names = append(names, c.String())
	}
	return strings.Join(names, ",")
}
