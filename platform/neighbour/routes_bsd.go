//go:build darwin || freebsd || openbsd

package neighbour

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/net/route"

	"transom/platform"
)

// tells is whether the kernel tells what changes.
const tells = false

// A kernel lists its neighbours. It tells no news: it is asked again.
type kernel struct{ done chan struct{} }

func openKernel() (*kernel, error) { return &kernel{done: make(chan struct{})}, nil }

// Close ends next.
func (k *kernel) Close() error {
	close(k.done)
	return nil
}

// list asks family by family: FreeBSD has no list of all.
func (k *kernel) list() ([]news, error) {
	l, ok := layouts[runtime.GOOS]
	if !ok {
		return nil, fmt.Errorf("list the kernel's table of neighbours: %w", platform.ErrUnsupported)
	}
	var all []news
	var errs []error
	for _, family := range []int{syscall.AF_INET, syscall.AF_INET6} {
		b, err := route.FetchRIB(family, syscall.NET_RT_FLAGS, syscall.RTF_LLINFO)
		errs = append(errs, err)
		all = append(all, l.parseRoutes(b)...)
	}
	if len(all) > 0 {
		return all, nil // a family may be missing
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("list the kernel's table of neighbours: %w", err)
	}
	return nil, nil
}

// next waits for the end.
func (k *kernel) next() ([]news, bool, error) {
	<-k.done
	return nil, false, errors.New("closed")
}
