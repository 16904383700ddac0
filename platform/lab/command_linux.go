package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Cmd is a program to run on a host. It is an exec.Cmd whose Start, Run,
// Output and CombinedOutput run it there; it is killed when the lab is closed
// or this process dies.
type Cmd struct {
	*exec.Cmd
	host *Host

	wait sync.Once
	err  error
}

// Command returns a program to run on the host. When ctx is done it is killed,
// as with exec.CommandContext.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), host: h}
}

// Start starts the program on the host's own thread.
func (c *Cmd) Start() error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	h := c.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.children == nil {
		return fmt.Errorf("lab: start %s on %s: the lab is closed", c.Path, h.name)
	}
	done := make(chan error)
	h.spawn <- func() { done <- c.Cmd.Start() }
	if err := <-done; err != nil {
		return err
	}
	h.children[c] = struct{}{}
	return nil
}

// Wait waits for the program to end. It may be called more than once.
func (c *Cmd) Wait() error {
	c.wait.Do(func() {
		c.err = c.Cmd.Wait()
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		delete(c.host.children, c)
	})
	return c.err
}

// Run starts the program and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to its standard output.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("lab: Stdout already set")
	}
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to its standard
// output and its standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("lab: Stdout or Stderr already set")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// killChildren kills every program that runs, returns them, and lets none start
// any more.
func (h *Host) killChildren() []*Cmd {
	h.mu.Lock()
	defer h.mu.Unlock()
	var running []*Cmd
	for c := range h.children {
		_ = c.Process.Kill() // it may have ended by itself
		running = append(running, c)
	}
	h.children = nil
	return running
}

// stragglersWithin bounds the wait for processes that were killed.
const stragglersWithin = time.Minute

// killStragglers kills the processes that programs left behind on the hosts: a
// process belongs to a host by its network namespace.
func killStragglers(hosts []*Host) error {
	ours := make(map[string]string)
	for _, h := range hosts {
		if st, err := h.ns.Stat(); err == nil {
			ours[fmt.Sprintf("net:[%d]", st.Sys().(*syscall.Stat_t).Ino)] = h.name
		}
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("lab: look for processes left behind: %w", err)
	}
	var errs []error
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := killIfIn(pid, ours); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// killIfIn holds the process by a descriptor, so that the one that is killed is
// the one that was looked at.
func killIfIn(pid int, ours map[string]string) error {
	path := "/proc/" + strconv.Itoa(pid) + "/ns/net"
	if ns, err := os.Readlink(path); err != nil || ours[ns] == "" {
		return nil // gone, not ours to look at, or elsewhere
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone
	}
	defer unix.Close(fd)
	ns, err := os.Readlink(path)
	if err != nil || ours[ns] == "" {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return fmt.Errorf("lab: kill process %d left on %s: %w", pid, ours[ns], err)
	}
	deadline := time.Now().Add(stragglersWithin)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(time.Until(deadline), 0)/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			return fmt.Errorf("lab: wait for process %d left on %s: %w", pid, ours[ns], err)
		}
		return nil
	}
}
