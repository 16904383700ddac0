// Package wire writes flows as bytes, for a log that keeps them, and reads them
// back. It knows neither files nor where records stand: what a record refers to is
// named by numbers that its caller gives.
//
// A record begins with a version. Behind that, fields stand in a fixed order, and
// what may grow is a block: its length, then its fields. Who reads a block skips what
// stands behind the fields it knows, and takes for zero those that are not there. So
// a new field is put at the end of its block, and old and new programs read each
// other's records. Only what stands in a block without being one — a header field, a
// question, an answer — can't grow so; that takes a new version.
//
// Numbers are varints, as encoding/binary has them. Times are differences, first to
// the flow's ID and then to its start.
//
// Reading is strict: what isn't a record is an *Error with its offset, and no more is
// allocated than a small multiple of the input.
package wire

import (
	"fmt"
)

// version is the first byte of every record.
const version = 1

// An Error says where a record is damaged.
type Error struct {
	Offset int    // in the record
	What   string // is wrong
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("damaged record: offset %d: %s", e.Offset, e.What) }
