package segment

import (
	"io"
	"sync"
)

// A handle is an open segment, and what has to be known to read it. It is closed
// when nobody uses it any more.
type handle struct {
	File
	head  header
	seed  uint32
	name  string
	box   *box // nil if it is not encrypted
	key   *dataKey
	foot  *footer // nil while there is none
	marks []mark  // of a compacted segment

	mu   sync.Mutex
	uses int // the cache's is one
}

// openHandle opens a segment for reading.
func openHandle(files FS, name string, number uint64, key *dataKey) (*handle, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := examine(f, name, number, key)
	if err == nil {
		err = h.readEnd()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

// examine makes a handle of the file that is meant to be segment number. That it is
// none, or can't be read, is Damage.
func examine(f File, name string, number uint64, key *dataKey) (*handle, error) {
	head, err := readHeader(f, name, number)
	if err != nil {
		return nil, err
	}
	h := newHandle(f, name, head)
	reason := h.unlock(key)
	if reason == "" {
		return h, nil
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return nil, &Damage{File: name, Length: size, Reason: reason}
}

// unlock has payloads sealed and opened, or says why they can't be.
func (h *handle) unlock(key *dataKey) (problem string) {
	encrypted := h.head.flags&flagEncrypted != 0
	switch {
	case key == nil && !encrypted:
	case key == nil:
		return "it is encrypted, and the others are not"
	case !encrypted: // anybody could have written it
		return "it is not encrypted, and the others are"
	case key.keyID(h.head) != h.head.keyID:
		return "it is encrypted under another key"
	default:
		h.box, h.key = key.box(h.head), key
	}
	return ""
}

// readEnd reads what stands behind the records.
func (h *handle) readEnd() error {
	size, err := h.Size()
	if err != nil {
		return err
	}
	foot, ok, err := h.readFooter(size)
	if ok {
		h.foot = &foot
	} else {
		foot.at = size
	}
	if err == nil && h.compacted() {
		h.marks, err = h.readMarks(foot, size)
	}
	return err
}

// compacted reports whether records may stand elsewhere than their offsets say.
func (h *handle) compacted() bool { return h.head.flags&flagCompacted != 0 }

// readHeader reads the header of the file that is meant to be segment number. That it
// is none is Damage.
func readHeader(f File, name string, number uint64) (header, error) {
	size, err := f.Size()
	if err != nil {
		return header{}, err
	}
	b := make([]byte, headerSize)
	if n, err := f.ReadAt(b, 0); n < headerSize {
		if err != io.EOF {
			return header{}, err
		}
		return header{}, &Damage{File: name, Length: size, Reason: "it ends in its header"}
	}
	h, err := parseHeader(b)
	if err == nil && h.number != number {
		err = errNoHeader
	}
	if err != nil {
		return header{}, &Damage{File: name, Length: size, Reason: err.Error()}
	}
	return h, nil
}

// newHandle returns a handle with one use.
func newHandle(f File, name string, h header) *handle {
	return &handle{File: f, head: h, seed: h.seed(), name: name, uses: 1}
}

// use adds a use, unless the last one has ended.
func (h *handle) use() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.uses == 0 {
		return false
	}
	h.uses++
	return true
}

// release ends a use. What closing a file that was only read says is of no concern;
// what is written has been synced before.
func (h *handle) release() {
	h.mu.Lock()
	h.uses--
	last := h.uses == 0
	h.mu.Unlock()
	if last {
		h.File.Close()
	}
}
