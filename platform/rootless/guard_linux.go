package rootless

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// Guard stands above the keeper: it is what Options.Program comes to. fd is the
// line to the proxy, cgroup the directory of the program's, "" if it has none, and
// keep are the arguments by which this program calls Keep, with two descriptors
// behind them. It returns when the keeper has ended, and all that a killed keeper
// could not end, the cgroup included. lower, if set, gives up the rights that this
// does not take.
//
//	proxy     killed: the keeper ends all
//	guard     killed: the keeper ends all
//	keeper    killed: the kernel ends the program, the guard what that has started
func Guard(fd int, cgroup string, keep []string, lower func() error) error {
	notify(make(chan os.Signal, 1)) // a terminal's are not meant for us
	if err := becomeReaper(); err != nil {
		return err
	}
	keeper, guarded, err := startKeeper(fd, keep)
	if err != nil {
		return fmt.Errorf("start the keeper: %w", err)
	}
	err = LetGo()
	if err == nil && lower != nil {
		if err = lower(); err != nil {
			err = fmt.Errorf("give up the guard's rights: %w", err)
		}
	}
	if err != nil {
		guarded.Close() // which the keeper sees, and ends
	} else {
		defer guarded.Close()
	}
	_ = keeper.Wait() // how it ended it has said to the proxy
	left := newFamily(cgroup)
	go left.reap() // until there are none, or this process ends
	left.dismiss(unix.SIGKILL, 0)
	err = errors.Join(err, left.sweep())
	unix.Close(fd) // only now the proxy sees the end of the line
	return err
}

// startKeeper starts the keeper with the line and with a pipe of which guarded is the
// other end. Both keep their numbers.
func startKeeper(fd int, keep []string) (keeper *exec.Cmd, guarded *os.File, err error) {
	r, guarded, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	keeper = exec.Command("/proc/self/exe", append(keep[:len(keep):len(keep)], strconv.Itoa(fd), strconv.Itoa(int(r.Fd())))...)
	keeper.Args[0] = os.Args[0]
	keeper.Stdin, keeper.Stdout, keeper.Stderr = os.Stdin, os.Stdout, os.Stderr
	if _, err = unix.FcntlInt(r.Fd(), unix.F_SETFD, 0); err == nil {
		err = keeper.Start()
	}
	if err != nil {
		guarded.Close()
		return nil, nil, err
	}
	return keeper, guarded, nil
}

// endOf returns what is closed when the other end of a pipe is, which nobody writes
// to.
func endOf(pipe *os.File) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer pipe.Close()
		_, _ = pipe.Read(make([]byte, 1)) // whatever it says, it is over
	}()
	return ended
}

// becomeReaper has processes whose parent ends become this process's children.
func becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper: %w", err)
	}
	return nil
}
