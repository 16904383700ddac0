package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"transom/store/segment"
	"transom/store/wire"
)

// Check reads all that is recorded, and yields what is damaged, with file and offset. The
// last error is that of ctx, or of a file that can't be read.
func (r *DiskReader) Check(ctx context.Context) iter.Seq[error] {
	return func(yield func(error) bool) {
		for at, err := range r.log.Scan(ctx, segment.Position{}) {
			if err == nil {
				if err = whole(at.Record); err != nil {
					err = fmt.Errorf("segment %d, record at %d: %w", at.Segment, at.Offset, err)
				}
			}
			if err != nil && !yield(err) {
				return
			}
		}
	}
}

// whole fails with what is wrong with a record that its checksum is right for.
func whole(r segment.Record) (err error) {
	switch r.Kind {
	case wire.KindFlow:
		_, _, err = wire.ReadFlow(r.Payload)
	case wire.KindConn:
		_, err = wire.ReadConn(r.Payload, func(uint64) ([]byte, error) { return nil, nil })
	case wire.KindBlob:
	case wire.KindChunk:
		_, err = wire.ReadChunk(r.Payload)
	case wire.KindBody:
		_, err = wire.ReadBody(r.Payload)
	case wire.KindDeleted:
		_, err = wire.ReadDeleted(r.Payload)
	default:
		err = errors.New("a record of a kind that is not known here")
	}
	return err
}
