//go:build !linux

package platform

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// refreshEvery is how old the list of own addresses may be: these systems are
// asked again now and then.
const refreshEvery = 2 * time.Second

func watchAddresses(log *slog.Logger) (*addresses, error) {
	own := &addresses{}
	if err := own.refresh(); err != nil {
		return nil, err
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(refreshEvery)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				if err := own.refresh(); err != nil {
					log.Warn("the host's own addresses may be out of date", "err", err)
				}
			}
		}
	})
	own.stop = sync.OnceValue(func() error {
		close(quit)
		wg.Wait()
		return nil
	})
	return own, nil
}

func (o *addresses) refresh() error {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the host's addresses: %w", err)
	}
	set := make(ownSet, len(list))
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				set.add(ip)
			}
		}
	}
	o.set.Store(&set)
	return nil
}
