//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Verdicts of the filter.
const (
	allowed = unix.SECCOMP_RET_ALLOW
	refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// judge runs the filter in a machine that is not the kernel's.
func judge(t *testing.T) func(arch, call uint32, args ...uint32) uint32 {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, i := range program() {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	decoded, ok := bpf.Disassemble(raw)
	if !ok || len(raw) > unix.BPF_MAXINSNS {
		t.Fatalf("%d instructions, all understood: %t", len(raw), ok)
	}
	vm, err := bpf.NewVM(decoded)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, call uint32, args ...uint32) uint32 {
		data := make([]byte, 64) // struct seccomp_data, in the order of this machine, whose words are big-endian
		binary.BigEndian.PutUint32(data[offsetCall:], call)
		binary.BigEndian.PutUint32(data[offsetArch:], arch)
		for i, a := range args {
			binary.BigEndian.PutUint32(data[offsetArgs+8*i:], a)
		}
		got, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(got)
	}
}

func TestFilter(t *testing.T) {
	verdict := judge(t)
	free := slices.Concat(freeCalls[:], archCalls[:])
	bounded := map[uint32]bool{}
	for _, b := range boundedCalls() {
		bounded[uint32(b.call)] = true
		good := make([]uint32, 6)
		for _, test := range b.tests {
			for _, v := range test.values {
				good[test.arg] = v
				if got := verdict(auditArch, uint32(b.call), good...); got != allowed {
					t.Errorf("call %d with %v: %#x", b.call, good, got)
				}
			}
			bad := slices.Clone(good)
			bad[test.arg] = 0xdeadbeef
			if got := verdict(auditArch, uint32(b.call), bad...); got != refused {
				t.Errorf("call %d with %v: %#x", b.call, bad, got)
			}
		}
	}
	for call := range uint32(1024) {
		want := refused
		switch {
		case bounded[call]:
			continue
		case slices.Contains(free, uintptr(call)):
			want = allowed
		case call == unix.SYS_CLONE3:
			want = unknown
		}
		if got := verdict(auditArch, call); got != want {
			t.Errorf("call %d: %#x, want %#x", call, got, want)
		}
		if got := verdict(unix.AUDIT_ARCH_I386, call); got != refused {
			t.Errorf("call %d of another architecture: %#x", call, got)
		}
		if foreignBit != 0 {
			if got := verdict(auditArch, call|foreignBit); got != refused {
				t.Errorf("call %d of another ABI: %#x", call, got)
			}
		}
	}
}

// What is refused by its arguments, in the words of clone(2), mmap(2) and kill(2).
func TestFilterOfArguments(t *testing.T) {
	verdict := judge(t)
	const threads = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	self := uint32(os.Getpid())
	for name, tt := range map[string]struct {
		call uint32
		args []uint32
		want uint32
	}{
		"go-thread":       {unix.SYS_CLONE, []uint32{threads}, allowed},
		"fork":            {unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, refused},
		"vfork":           {unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_VFORK}, refused},
		"thread-with-net": {unix.SYS_CLONE, []uint32{threads | unix.CLONE_NEWNET}, refused},
		"heap":            {unix.SYS_MMAP, []uint32{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allowed},
		"code":            {unix.SYS_MMAP, []uint32{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, refused},
		"becomes-code":    {unix.SYS_MPROTECT, []uint32{0, 4096, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC}, refused},
		"preempt":         {unix.SYS_TGKILL, []uint32{self, 1, 1}, allowed},
		"kill-init":       {unix.SYS_KILL, []uint32{1, 9}, refused},
		"kill-all":        {unix.SYS_KILL, []uint32{^uint32(0), 9}, refused},
		"kill-group":      {unix.SYS_KILL, []uint32{-self, 9}, refused},
		"ipv6":            {unix.SYS_SOCKET, []uint32{unix.AF_INET6}, allowed},
		"unix":            {unix.SYS_SOCKET, []uint32{unix.AF_UNIX}, refused},
		"vsock":           {unix.SYS_SOCKET, []uint32{unix.AF_VSOCK}, refused},
		"size":            {unix.SYS_IOCTL, []uint32{1, unix.TIOCGWINSZ}, allowed},
		"type":            {unix.SYS_IOCTL, []uint32{0, unix.TIOCSTI}, refused},
	} {
		if got := verdict(auditArch, tt.call, tt.args...); got != tt.want {
			t.Errorf("%s: %#x, want %#x", name, got, tt.want)
		}
	}
}
