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
// last error is that of ctx, or of a file that can't be read. Stats knows from then on what
// equal bodies save.
func (r *DiskReader) Check(ctx context.Context) iter.Seq[error] {
	return func(yield func(error) bool) {
		saved := int64(0)
		defer func() { r.shared.Store(saved) }()
		for at, err := range r.log.Scan(ctx, segment.Position{}) {
			if err == nil {
				if err = whole(at.Record); err != nil {
					err = fmt.Errorf("segment %d, record at %d: %w", at.Segment, at.Offset, err)
				} else if at.Kind == wire.KindBody {
					saved += r.lent(at.Payload)
				}
			}
			if err != nil && !yield(err) {
				return
			}
		}
	}
}

// lent returns how many bytes a body has of an equal one, 0 if they are its own.
func (r *DiskReader) lent(record []byte) int64 {
	b, err := wire.ReadBody(record)
	if err != nil || len(b.Extents) != 1 || b.Extents[0].Length < twinsFrom {
		return 0
	}
	if of, err := r.log.Read(b.Extents[0].Position, nil); err != nil || of.Kind != wire.KindBody {
		return 0 // a chunk, or what is damaged, which is said where it stands
	}
	return b.Size()
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
