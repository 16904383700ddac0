package owner

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is the programs as well: the one that looks, and one that is looked for.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 2 && os.Args[1] == "helper" && os.Args[2] == "find":
		exit(Serve(func() error { return nil }))
	case len(os.Args) > 4 && os.Args[1] == "connect":
		exit(connect(os.Args[2], os.Args[3], os.Args[4]))
	case len(os.Args) > 2 && os.Args[1] == "hold":
		exit(hold(os.Args[2]))
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// connect is a client that calls itself name. It says its address, and ends with its
// input.
func connect(name, network, addr string) error {
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		return err
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Println(c.LocalAddr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// hold has that many files open until its input ends.
func hold(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	for range n {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A client is a process that is looked for.
type client struct {
	*exec.Cmd
	addr string
	end  func()
}

// startClient starts one as a user, in the cgroup that a file is the directory of, if
// there is one.
func startClient(t testing.TB, name, network, addr string, uid int, into *os.File) *client {
	t.Helper()
	return startProgram(t, uid, into, "connect", name, network, addr)
}

func startProgram(t testing.TB, uid int, into *os.File, args ...string) *client {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	if into != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(into.Fd())
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{Cmd: cmd}
	ended := false
	c.end = func() {
		if !ended {
			ended = true
			in.Close()
			_ = cmd.Wait() // it has no more to say
		}
	}
	t.Cleanup(c.end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c.addr = line[:len(line)-1]
	return c
}
