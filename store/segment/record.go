package segment

import (
	"errors"
	"fmt"
	"path/filepath"
)

// A Record is what the log keeps: bytes, and a kind that its caller chooses. Kind 0
// is the log's own.
type Record struct {
	Kind    uint8
	Payload []byte
}

// At is a record where it stands. What follows it begins at Next or later.
type At struct {
	Position
	Next Position
	Record
}

// MaxPayload is how long a record's payload may be.
const MaxPayload = 4 << 20

// ErrGone says that there is no record at a position any more: its segment was
// removed, compaction dropped it, or a crash came before it was synced.
var ErrGone = errors.New("the record is gone")

// ErrFull says that the disk, or a quota, has no room.
var ErrFull = errors.New("no room left")

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the log is closed")

// ErrLocked says that another process writes to the directory.
var ErrLocked = errors.New("in use by another process")

// Damage is bytes of a segment that are no whole record. The records before and
// behind them are not touched by it.
type Damage struct {
	File   string // as the directory names it
	Offset int64  // in the file, where it begins
	Length int64  // how many bytes are lost
	Reason string
}

// Error says where and what.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s: %d bytes from offset %d on are damaged: %s", d.File, d.Length, d.Offset, d.Reason)
}

// Segment returns the number of the segment, 0 if the file is none's.
func (d *Damage) Segment() uint64 {
	n, _ := numberOf(filepath.Base(d.File))
	return n
}

// A SyncError says that the system has failed to put records on disk. Those of From
// up to To may be lost, even if they can still be read; who has them may append them
// again. Later records are in a new segment and not concerned.
type SyncError struct {
	From, To Position
	Err      error
}

// Error says what failed.
func (e *SyncError) Error() string {
	return fmt.Sprintf("records from segment %d, offset %d up to segment %d, offset %d may be lost: %v",
		e.From.Segment, e.From.Offset, e.To.Segment, e.To.Offset, e.Err)
}

// Unwrap returns what the system said.
func (e *SyncError) Unwrap() error { return e.Err }
