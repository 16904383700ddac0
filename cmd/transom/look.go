package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"transom"
	"transom/app/control"
	"transom/platform"
)

// letLook opens the socket by which transom flows looks at what is recorded, and answers
// until stop is called. Without it all else goes on.
func letLook(p *transom.Proxy, r *rights, about control.About) (stop func()) {
	var who []int
	if r.caller {
		who = []int{r.user.UID}
	}
	l, err := platform.ListenControl(who...)
	if err != nil {
		p.Log.Warn("transom flows can't look at what is recorded here", "err", err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := control.Serve(ctx, l, p.Flows(), about, p.Log); err != nil {
			p.Log.Warn("transom flows can't look at what is recorded here any more", "err", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// about says where it is recorded to.
func (f *recordFlags) about() (a control.About) {
	if f.onDisk() {
		a.Store, _ = filepath.Abs(f.dir) // which was asked for before
	}
	return a
}

// lookAt is the recording of a transom that runs, which pid names if it isn't 0.
func lookAt(ctx context.Context, pid int) (recording, error) {
	pids, err := platform.Controls()
	if err != nil {
		return nil, err
	}
	switch {
	case pid != 0:
	case len(pids) == 0:
		return nil, usagef("no transom runs here: name a directory that flows were recorded in with --store, or a file with -r")
	case len(pids) > 1:
		return nil, usagef("several run here: choose one with --pid, of %s", strings.Trim(fmt.Sprint(pids), "[]"))
	default:
		pid = pids[0]
	}
	return clientOf(pid), nil
}

// clientOf looks at what a process has recorded.
func clientOf(pid int) *control.Client {
	c := control.New(pid, func(ctx context.Context) (net.Conn, error) { return platform.DialControl(ctx, pid) })
	c.CaseSensitive = filterOptions().CaseSensitive
	return c
}
