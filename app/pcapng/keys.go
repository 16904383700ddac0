package pcapng

import (
	"bytes"
	"sync"
)

// maxKeys bounds the lines that wait for the next flow. A handshake has five of 180
// bytes.
const maxKeys = 1 << 20

// keys are lines of a key log that are not in the file yet. Handshakes write to it,
// and wait for nobody.
type keys struct {
	mu    sync.Mutex
	lines []byte
}

// Write implements io.Writer. It takes whole lines, and never fails: where there are
// too many the oldest are dropped, which matters to none that is in the file.
func (k *keys) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, p...)
	k.dropLocked()
	return len(p), nil
}

func (k *keys) dropLocked() {
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
func (k *keys) take() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := k.lines
	k.lines = nil
	return lines
}

// giveBack puts lines back that could not be written.
func (k *keys) giveBack(lines []byte) {
	if len(lines) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(lines, k.lines...)
	k.dropLocked()
}
