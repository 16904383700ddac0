package pcapng

import (
	"bytes"
	"sync"
)

// maxKeys bounds the lines that wait for the next flow. A handshake has five of 180
// bytes.
const maxKeys = 1 << 20

// Keys are lines of a key log that are not in a file yet. Handshakes write to it, and
// wait for nobody. The zero value has none.
type Keys struct {
	mu    sync.Mutex
	lines []byte
}

// Write implements io.Writer. It takes whole lines, and never fails: where there are
// too many the oldest are dropped, which matters to none that is in the file.
func (k *Keys) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, p...)
	k.dropLocked()
	return len(p), nil
}

func (k *Keys) dropLocked() {
	for len(k.lines) > maxKeys {
		cut := len(k.lines) - maxKeys/2
		end := bytes.IndexByte(k.lines[cut:], '\n')
		if end < 0 {
			k.lines = nil
			return
		}
		k.lines = bytes.Clone(k.lines[cut+end+1:])
	}
}

// take returns the lines, which are then the caller's.
func (k *Keys) take() []byte {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := k.lines
	k.lines = nil
	return lines
}

// giveBack puts lines back that could not be written.
func (k *Keys) giveBack(lines []byte) {
	if len(lines) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(lines, k.lines...)
	k.dropLocked()
}
