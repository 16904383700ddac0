package ws

import (
	"context"

	"transom/message"
)

// watch sends p and then looks at it. If something waits to be put in between,
// p is sent piece by piece, since that may be here.
func (in *inbound) watch(ctx context.Context, p []byte) error {
	in.out.begin()
	defer in.out.end()
	in.ahead = true
	whole := in.out.waiting.Load() == 0
	if whole {
		if err := in.out.write(p); err != nil {
			return err
		}
	}
	for len(p) > 0 {
		pc, n, err := in.sp.next(p)
		if err != nil {
			in.giveUp()
			if !whole {
				err = in.out.write(p)
			} else {
				err = nil
			}
			in.recordRaw(p)
			return err
		}
		if !whole {
			if err := in.out.write(p[:n]); err != nil {
				return err
			}
		}
		if err := in.look(ctx, pc); err != nil {
			return err
		}
		p = p[n:]
		in.out.inside = in.midway()
		if !whole {
			in.out.flush()
		}
	}
	return nil
}

// midway reports whether a frame or a message is half sent.
func (in *inbound) midway() bool {
	frame := in.ahead && in.sp.n > 0 || in.sp.inside && in.cur.fate != held
	return frame || in.open && in.msg.fate != held
}

// giveUp has everything from here on passed as it is. It is called with the
// turn.
func (in *inbound) giveUp() {
	in.note(noteUndecidable)
	if in.open {
		in.endMessage()
	}
	in.raw = true
	in.out.inside = true
	in.out.shut(message.ErrOpaque)
}

func (in *inbound) passRaw(p []byte) error {
	in.out.begin()
	defer in.out.end()
	if err := in.out.write(p); err != nil {
		return err
	}
	in.recordRaw(p)
	return nil
}

func (in *inbound) recordRaw(p []byte) {
	if len(p) > 0 {
		in.c.o.Record.Message(message.Entry{Dir: in.dir, Size: int64(len(p)), Payload: p[:min(len(p), in.c.o.Keep)]})
	}
}
