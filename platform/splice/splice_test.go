package splice_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"transom/internal/testnet"
	"transom/platform/splice"
)

// pair returns the two ends of a TCP connection.
func pair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

// kinds are pools that move by the kernel and by buffers.
func kinds(t *testing.T, f func(t *testing.T, p *splice.Pool)) {
	for name, pipes := range map[string]int{"pipes": 0, "one-pipe": 1, "buffers": -1} {
		t.Run(name, func(t *testing.T) {
			p := splice.NewPool(pipes)
			defer p.Close()
			f(t, p)
		})
	}
}

type result struct {
	n             int64
	readErr, wErr error
}

func TestCopyIsExact(t *testing.T) {
	kinds(t, func(t *testing.T, p *splice.Pool) {
		var wg sync.WaitGroup
		for i := range 4 { // more directions than pipes
			wg.Go(func() { exact(t, p, uint64(i)) })
		}
		wg.Wait()
	})
}

func exact(t *testing.T, p *splice.Pool, seed uint64) {
	client, near := pair(t)
	far, server := pair(t)
	rnd := rand.New(rand.NewPCG(seed, 1))
	sent, got := sha256.New(), sha256.New()
	var total int64
	go func() {
		defer client.CloseWrite()
		b := make([]byte, 300<<10)
		for range 30 {
			part := b[:1+rnd.IntN(len(b)-1)]
			for i := range part {
				part[i] = byte(rnd.Uint32())
			}
			sent.Write(part)
			total += int64(len(part))
			if _, err := client.Write(part); err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
	}()
	var moved int64
	done := make(chan result, 1)
	go func() {
		n, re, we := p.Copy(far, near, splice.Watch{Moved: func(n int) { moved += int64(n) }})
		far.CloseWrite()
		done <- result{n, re, we}
	}()
	if _, err := io.Copy(got, server); err != nil {
		t.Errorf("read: %v", err)
	}
	r := <-done
	if r.readErr != io.EOF || r.wErr != nil || r.n != total || moved != total {
		t.Errorf("Copy = %d, %v, %v, and told of %d; want %d, EOF, nil", r.n, r.readErr, r.wErr, moved, total)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Error("what came out is not what went in")
	}
}

func TestEnds(t *testing.T) {
	tests := map[string]struct {
		do   func(client, near, far, server *net.TCPConn)
		want func(r result) bool
	}{
		"fin": {
			func(client, near, far, server *net.TCPConn) { client.CloseWrite() },
			func(r result) bool { return r.readErr == io.EOF && r.wErr == nil },
		},
		"reset-by-source": {
			func(client, near, far, server *net.TCPConn) { client.SetLinger(0); client.Close() },
			func(r result) bool { return errors.Is(r.readErr, syscall.ECONNRESET) && r.wErr == nil },
		},
		"reset-by-target": {
			func(client, near, far, server *net.TCPConn) {
				server.SetLinger(0)
				server.Close()
				far.Read(make([]byte, 1)) // the reset has come
				client.Write([]byte("x"))
			},
			func(r result) bool { return errors.Is(r.wErr, syscall.EPIPE) && r.readErr == nil },
		},
		"source-closed-by-us": {
			func(client, near, far, server *net.TCPConn) { near.Close() },
			func(r result) bool { return errors.Is(r.readErr, net.ErrClosed) },
		},
		"target-closed-by-us": {
			func(client, near, far, server *net.TCPConn) { far.Close(); client.Write([]byte("x")) },
			func(r result) bool { return errors.Is(r.wErr, net.ErrClosed) },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			kinds(t, func(t *testing.T, p *splice.Pool) {
				client, near := pair(t)
				far, server := pair(t)
				done := make(chan result, 1)
				go func() {
					n, re, we := p.Copy(far, near, splice.Watch{})
					done <- result{n, re, we}
				}()
				tt.do(client, near, far, server)
				if r := <-done; !tt.want(r) {
					t.Errorf("Copy = %d, %v, %v", r.n, r.readErr, r.wErr)
				}
			})
		})
	}
}

func TestDeadlineMovesWithTraffic(t *testing.T) {
	kinds(t, func(t *testing.T, p *splice.Pool) {
		_, near := pair(t)
		far, _ := pair(t)
		asked := 0
		n, readErr, writeErr := p.Copy(far, near, splice.Watch{Deadline: func() time.Time {
			asked++ // asked to arm and, when that time has come, again: twice the other direction has moved
			if asked < 6 {
				return time.Now().Add(time.Millisecond)
			}
			return time.Now().Add(-time.Millisecond)
		}})
		if n != 0 || !errors.Is(readErr, os.ErrDeadlineExceeded) || writeErr != nil {
			t.Errorf("Copy = %d, %v, %v; want a deadline that passed", n, readErr, writeErr)
		}
	})
}

func TestDeadlineOfStalledTarget(t *testing.T) {
	kinds(t, func(t *testing.T, p *splice.Pool) {
		client, near := pair(t)
		far, _ := pair(t) // nobody reads
		go io.Copy(client, endless{})
		last := time.Now()
		w := splice.Watch{
			Moved:    func(int) { last = time.Now() },
			Deadline: func() time.Time { return last.Add(400 * time.Millisecond) },
		}
		n, readErr, writeErr := p.Copy(far, near, w)
		for range 100 { // as often as whoever writes has no processor for so long
			if !errors.Is(readErr, os.ErrDeadlineExceeded) {
				break
			}
			before := n
			last = time.Now()
			n, readErr, writeErr = p.Copy(far, near, w)
			n += before
		}
		if n == 0 || readErr != nil || !errors.Is(writeErr, os.ErrDeadlineExceeded) {
			t.Errorf("Copy = %d, %v, %v; want a deadline that passed while writing", n, readErr, writeErr)
		}
		client.Close()
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestPortionsCostNothing moves small portions and counts allocations.
func TestPortionsCostNothing(t *testing.T) {
	kinds(t, func(t *testing.T, p *splice.Pool) {
		client, near := pair(t)
		far, server := pair(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Copy(far, near, splice.Watch{})
		}()
		b := make([]byte, 1000)
		turn := func() {
			client.Write(b)
			io.ReadFull(server, b)
		}
		turn()
		if n := testing.AllocsPerRun(500, turn); n >= 1 {
			t.Errorf("%v allocations a portion", n)
		}
		client.Close()
		<-done
	})
}

// BenchmarkCopy reports the CPU time for each gigabyte of the threads that copy;
// sender and receiver are in other threads.
func BenchmarkCopy(b *testing.B) {
	for _, conns := range []int{1, 64} {
		for name, pipes := range map[string]int{"pipes": 0, "buffers": -1} {
			b.Run(fmt.Sprintf("%s-%d", name, conns), func(b *testing.B) {
				p := splice.NewPool(pipes)
				defer p.Close()
				bench(b, conns, func(dst, src *net.TCPConn) { p.Copy(dst, src, splice.Watch{}) })
			})
		}
		b.Run(fmt.Sprintf("io.Copy-%d", conns), func(b *testing.B) {
			bench(b, conns, func(dst, src *net.TCPConn) { io.Copy(dst, src) })
		})
	}
}

// portion is the number of bytes of one operation of the benchmarks.
const portion = 1 << 20

func bench(b *testing.B, conns int, copy func(dst, src *net.TCPConn)) {
	b.SetBytes(portion)
	var wg sync.WaitGroup
	start := make(chan struct{})
	var movers []*cpu
	for i := range conns {
		client, near := pair(b)
		far, server := pair(b)
		share := b.N / conns
		if i < b.N%conns {
			share++
		}
		wg.Go(func() {
			defer client.CloseWrite()
			buf := make([]byte, portion)
			<-start
			for range share {
				client.Write(buf)
			}
		})
		m := &cpu{}
		movers = append(movers, m)
		wg.Go(func() {
			m.measure(func() { copy(far, near) })
			far.CloseWrite()
		})
		wg.Go(func() {
			buf := make([]byte, portion)
			for {
				if _, err := server.Read(buf); err != nil {
					return
				}
			}
		})
	}
	b.ResetTimer()
	close(start)
	wg.Wait()
	b.StopTimer()
	var total time.Duration
	for _, m := range movers {
		total += m.used
	}
	b.ReportMetric(total.Seconds()*1e3/(float64(b.N)*portion/1e9), "cpu-ms/GB")
}

// BenchmarkIdle reports what a connection that is passed on, in both directions,
// costs while nothing moves: bytes of heap and stack of Copy, beside its two
// sockets, and descriptors.
func BenchmarkIdle(b *testing.B) {
	p := splice.NewPool(0)
	defer p.Close()
	var wg sync.WaitGroup
	var conns []*net.TCPConn
	for b.Loop() {
		const n = 500
		var ends [][2]*net.TCPConn
		for range n {
			client, near := pair(b)
			far, server := pair(b)
			conns = append(conns, client, server)
			ends = append(ends, [2]*net.TCPConn{near, far})
		}
		var before, after runtime.MemStats
		fds := descriptors(b)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, e := range ends {
			wg.Go(func() { p.Copy(e[1], e[0], splice.Watch{}) })
			wg.Go(func() { p.Copy(e[0], e[1], splice.Watch{}) })
		}
		var word [1]byte
		for i := range ends { // each has moved something and waits again
			conns[2*i].Write(word[:])
			io.ReadFull(conns[2*i+1], word[:])
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "B/conn")
		b.ReportMetric(float64(descriptors(b)-fds)/n, "fd/conn")
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
		conns = nil
	}
}

func descriptors(b *testing.B) int {
	list, err := os.ReadDir("/dev/fd")
	testnet.Need(b, err == nil, "/dev/fd")
	return len(list)
}
