package owner

import (
	"net"
	"os"
	"strconv"
	"testing"

	"transom/flow"
)

// crowd has fifty thousand files open, in fifty processes.
func crowd(b *testing.B) {
	const processes, files = 50, 1000
	for range processes {
		startProgram(b, os.Getuid(), nil, "hold", strconv.Itoa(files))
	}
}

// connections are open ones of this process to dst.
func connections(b *testing.B, dst string, n int) (qs []question) {
	for range n {
		c, err := net.Dial("tcp", dst)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		qs = append(qs, questionOf("tcp", c.LocalAddr().String(), dst))
	}
	return qs
}

// BenchmarkFind looks for clients on a host with fifty thousand open files, with
// nobody to bound the time: one who has just had another connection, one in a
// cgroup where nobody has, the one that began last, and the one that began first,
// before which all are looked at. A batch is of many connections of the first kind.
func BenchmarkFind(b *testing.B) {
	tcp, _ := listen(b, "127.0.0.1:0")
	first := startClient(b, "first", "tcp", tcp, os.Getuid(), nil)
	own := connections(b, tcp, batchMost)
	crowd(b)
	last := startClient(b, "last", "tcp", tcp, os.Getuid(), nil)
	for name, bench := range map[string]struct {
		qs     []question
		forget bool
	}{
		"recent": {own[:1], false},
		"batch":  {own, false},
		"last":   {[]question{questionOf("tcp", last.addr, tcp)}, true},
		"first":  {[]question{questionOf("tcp", first.addr, tcp)}, true},
	} {
		b.Run(name, func(b *testing.B) {
			f := openFinder(b, every())
			b.ReportAllocs()
			for b.Loop() {
				f.budget.left = lookMost
				clear(f.seats)
				if bench.forget {
					clear(f.recent)
				}
				f.find(bench.qs, func(a *answer) {
					if a.process.PID == 0 {
						b.Fatal(a)
					}
				})
			}
		})
	}
}

// BenchmarkClient asks another process as fast as it answers, on the same host.
func BenchmarkClient(b *testing.B) {
	tcp, _ := listen(b, "127.0.0.1:0")
	qs := connections(b, tcp, 512)
	crowd(b)
	c := start(b, Options{})
	const waiting = 256
	turns := make(chan struct{}, waiting)
	without := 0
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		turns <- struct{}{}
		q := &qs[i%len(qs)]
		i++
		c.Ask("tcp", q.client, q.dst, func(p *flow.Process) {
			if p == nil || p.PID == 0 {
				without++
			}
			<-turns
		})
	}
	for range waiting {
		turns <- struct{}{}
	}
	b.ReportMetric(float64(without)/float64(b.N), "without/op")
}
