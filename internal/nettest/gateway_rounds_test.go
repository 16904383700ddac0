package nettest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"transom/platform/lab"
)

const (
	rounds = 200
	lanes  = 2 // at once, in networks of their own
	// soon is how long the host may take to be as it was, or, where looking at it takes
	// long, as long as so many looks.
	soon, soonLooks = time.Second, 20
)

// TestGatewayRounds starts transom, has traffic, and kills the proxy, the helper
// or both at a random moment, again and again. Each time the host is as it was
// soon afterwards, and a new connection works.
func TestGatewayRounds(t *testing.T) {
	for lane := range lanes {
		t.Run(fmt.Sprint("lane-", lane), func(t *testing.T) {
			w := newGatewayWorld(t)
			w.echoes()
			w.secure(w.Server, 443)
			r := &roundabout{
				world: w, before: w.state(w.Gateway), armed: map[string]string{},
				rand: rand.New(rand.NewPCG(uint64(lane), uint64(time.Now().UnixNano()))),
			}
			for r.n = range rounds / lanes {
				if r.round(); t.Failed() {
					t.Fatalf("in round %d", r.n)
				}
			}
			slices.Sort(r.took)
			slices.Sort(r.looks)
			look := r.looks[len(r.looks)*19/20]
			t.Logf("as it was after %v in half of the rounds, after %v in nineteen of twenty, after %v at worst; nineteen of twenty looks take less than %v",
				r.took[len(r.took)/2], r.took[len(r.took)*19/20], r.took[len(r.took)-1], look)
			// One in twenty may have had to wait for a processor.
			if late, most := r.took[len(r.took)*19/20], max(soon, soonLooks*look); late > most {
				t.Errorf("it took more than %v in more than one of twenty rounds", most)
			}
		})
	}
}

// A roundabout is the rounds in one network.
type roundabout struct {
	*world
	rand   *rand.Rand
	n      int
	before string
	armed  map[string]string // what the host is like while transom runs, by method
	took   []time.Duration
	looks  []time.Duration // how long this machine takes to look at the host
}

func (r *roundabout) round() {
	r.t.Helper()
	way := ways[r.n/3%len(ways)]
	victim := []string{"proxy", "helper", "both"}[r.n%3]
	early := r.rand.IntN(4) == 0 // while it still starts
	g := r.launch(way.args)
	defer func() {
		if r.t.Failed() {
			for _, h := range []*lab.Host{r.Client, r.Gateway, r.Server} {
				look, _, _ := r.try(h, "sh", "-c", "ss -tan; ip neigh; ip -s link; cat /proc/net/snmp /proc/net/netstat; cat /proc/net/nf_conntrack; true")
				r.t.Logf("%s:\n%s", h.Name(), look)
			}
			r.t.Logf("in round %d, %s by %s, early: %v, transom logged:\n%s", r.n, victim, way.name, early, g.log.short())
		}
	}()
	if !early {
		eventually(r.t, "the gateway to capture", func() bool { return r.capturing(g) })
		if r.armed[way.name] == "" {
			eventually(r.t, "the gateway to have tested itself", func() bool {
				r.armed[way.name] = r.state(r.Gateway)
				return !strings.Contains(r.armed[way.name], "transom-test")
			})
		}
	}
	stop := r.traffic()
	r.wait(time.Duration(r.rand.Int64N(int64(60 * time.Millisecond))))
	killed, ok := time.Now(), false
	switch victim {
	case "proxy":
		kill(r.t, g.pid())
	case "both":
		kill(r.t, append(r.processes(helper), g.pid())...)
	case "helper":
		ok = r.helperDies(g, way.name)
	}
	r.restored(r.Gateway, r.before)
	if !ok {
		r.took = append(r.took, time.Since(killed))
		g.wait(-1)
	}
	stop()
	r.alone()
	looks := time.Now()
	r.wantState("alone", r.Gateway, r.before)
	r.looks = append(r.looks, time.Since(looks))
	for _, f := range families {
		r.reach(r.Client, &net.Dialer{}, addrPort(f.addr, 443)).want(r.t, direct, seenClient)
	}
}

// launch starts transom, and leaves it to the round to end it.
func (r *roundabout) launch(args []string) *gateway {
	r.t.Helper()
	cmd := r.command(r.Gateway, "transom", r.gatewayArgs(args...)...)
	p := &transom{t: r.t, cmd: cmd, out: newOutput(), log: newOutput()}
	cmd.Stdout, cmd.Stderr = p.out, p.log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	return &gateway{transom: p, w: r.world}
}

func (r *roundabout) capturing(g *gateway) bool { return r.started(g) && r.world.armed() }

func (r *roundabout) started(g *gateway) bool {
	return g.listens() && strings.Contains(g.log.String(), "signing for servers")
}

// helperDies kills the helper, which has to come back with its rules, and then
// ends transom in order. It reports true. A start may fail of it, in order.
func (r *roundabout) helperDies(g *gateway, way string) bool {
	r.t.Helper()
	started, killed := r.started(g), time.Now()
	r.killHelper()
	eventually(r.t, "the rules to be back", func() bool { return r.capturing(g) || !started && g.gone() })
	if g.gone() {
		g.wait(1)
		return true
	}
	if armed := r.armed[way]; armed != "" {
		r.restored(r.Gateway, armed)
		r.took = append(r.took, time.Since(killed))
	}
	r.reach(r.Client, &net.Dialer{}, addrPort(lab.ServerAddr4, 443)).want(r.t, captured, seenAnybody)
	g.signal(syscall.SIGTERM)
	g.wait(0)
	return true
}

// wait lets traffic go on.
func (r *roundabout) wait(d time.Duration) {
	tm := time.NewTimer(d)
	defer tm.Stop()
	select {
	case <-tm.C:
	case <-r.ctx.Done():
	}
}

// traffic makes connections, of which some are open at any moment, until stop
// is called. How they fare when transom is killed is nobody's promise.
func (r *roundabout) traffic() (stop func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	var wg sync.WaitGroup
	for _, f := range families {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := r.Client.Dial(ctx, addrPort(f.addr, 80))
				if err != nil {
					continue
				}
				end := context.AfterFunc(ctx, func() { c.Close() })
				for l, i := (&live{r.t, c}), 0; i < 20 && l.echo() == nil; i++ {
				}
				end()
				c.Close()
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
