package leg_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/testnet"
)

func TestEnded(t *testing.T) {
	op := func(errno syscall.Errno) error {
		return &net.OpError{Op: "read", Err: os.NewSyscallError("read", errno)}
	}
	for want, errs := range map[flow.Close][]error{
		flow.NotClosed:   {nil},
		flow.FIN:         {io.EOF, fmt.Errorf("await response: %w", io.ErrUnexpectedEOF)},
		flow.RST:         {op(syscall.ECONNRESET), op(syscall.EPIPE)},
		flow.Refused:     {op(syscall.ECONNREFUSED)},
		flow.Unreachable: {op(syscall.EHOSTUNREACH), op(syscall.ENETUNREACH)},
		flow.Timeout:     {op(syscall.ETIMEDOUT), os.ErrDeadlineExceeded, context.DeadlineExceeded},
		flow.ClosedByUs:  {net.ErrClosed, errors.New("middleware says no")},
	} {
		for _, err := range errs {
			if got := leg.Ended(err); got != want {
				t.Errorf("%v is %v, want %v", err, got, want)
			}
		}
	}
}

func pair() (far, near *testnet.Conn) {
	return testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
}

func TestLike(t *testing.T) {
	for how, reset := range map[flow.Close]bool{
		flow.FIN: false, flow.Alert: false, flow.ClosedByUs: false,
		flow.RST: true, flow.Refused: true, flow.Unreachable: true, flow.Timeout: true,
	} {
		far, near := pair()
		leg.Like(leg.Join(near, []byte("unread")), how)
		_, err := far.Read(make([]byte, 1))
		if got := errors.Is(err, syscall.ECONNRESET); got != reset || !reset && err != io.EOF {
			t.Errorf("%v was told as %v", how, err)
		}
	}
}

func TestJoin(t *testing.T) {
	far, near := pair()
	go func() { io.WriteString(far, "def"); far.Close() }()
	j := leg.Join(near, []byte("abc"))
	if p, err := io.ReadAll(j); string(p) != "abcdef" || err != nil {
		t.Errorf("read %q, %v", p, err)
	}
	if leg.Join(near, nil) != net.Conn(near) {
		t.Error("a join without prefix is not the conn itself")
	}
}
