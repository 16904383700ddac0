package splice_test

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// cpu measures the CPU time of one goroutine, on a thread of its own.
type cpu struct{ used time.Duration }

func (c *cpu) measure(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	c.used = threadTime() - before
}

func threadTime() time.Duration {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
