package helper

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A voice is how a helper or a watch says something to the proxy.
type voice struct {
	pair  *pair
	epoch uint32
	alone atomic.Bool // the proxy is gone: what is said to it is lost, though its socket may be there still
}

// say sends a report, with a descriptor unless it is negative.
func (v *voice) say(r report, with int) error {
	var b [reportMax]byte
	r.epoch = v.epoch
	return v.pair.send(r.put(&b), with)
}

// lost says that there will be no helper any more.
func (v *voice) lost(why error) error {
	return v.say(report{kind: sayLost, text: []byte(why.Error())}, -1)
}

// log returns a logger for the proxy, and for stderr, as r words it, when the proxy is
// gone.
func (v *voice) log(r *Rights) *slog.Logger {
	return slog.New(&handler{
		send: func(level slog.Level, text []byte) bool {
			return !v.alone.Load() && v.say(report{kind: sayLog, id: uint64(level), text: text}, -1) == nil
		},
		stderr: r.handler(patient{os.Stderr}),
	})
}

// patient writes to a file that may be a pipe that nobody reads, without ever
// waiting for it: there is something to take back.
type patient struct{ f *os.File }

var _ io.Writer = patient{}

// pipeBuf is what a pipe that can be written to has room for.
const pipeBuf = 4096

// Write implements io.Writer. What can't be written at once is lost.
func (p patient) Write(b []byte) (int, error) {
	poll := []unix.PollFd{{Fd: int32(p.f.Fd()), Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); err != nil || n == 0 || poll[0].Revents&unix.POLLOUT == 0 {
		return 0, errors.Join(err, unix.EAGAIN)
	}
	return p.f.Write(b[:min(len(b), pipeBuf)])
}
