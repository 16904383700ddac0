package export

import (
	"encoding/binary"
	"time"

	"transom/flow"
)

// jsonData is a "data" line.
type jsonData struct {
	Time      time.Time `json:"time"`
	Part      string    `json:"part"`
	Offset    int64     `json:"offset"`
	Size      int64     `json:"size"`
	Text      string    `json:"text"`
	Base64    []byte    `json:"base64"`
	From      string    `json:"from"`
	Op        string    `json:"op"`
	Code      *uint16   `json:"code"`
	Truncated bool      `json:"truncated"`
	Changed   bool      `json:"changed"`
	Dropped   bool      `json:"dropped"`
	Injected  bool      `json:"injected"`
	Encoded   bool      `json:"encoded"`
	Error     string    `json:"error"`
	RPC       *struct {
		Compressed bool   `json:"compressed"`
		Trailers   bool   `json:"trailers"`
		Base64     []byte `json:"base64"`
	} `json:"grpc"`
}

// bytes is the piece of a body.
func (d *jsonData) bytes() []byte {
	if d.RPC == nil {
		return d.payload()
	}
	head := make([]byte, 5, 5+len(d.RPC.Base64))
	if d.RPC.Compressed {
		head[0] |= 1
	}
	if d.RPC.Trailers {
		head[0] |= 0x80
	}
	binary.BigEndian.PutUint32(head[1:], uint32(len(d.RPC.Base64)))
	return append(head, d.RPC.Base64...)
}

func (d *jsonData) payload() []byte {
	data := append([]byte(d.Text), d.Base64...)
	if d.Code != nil {
		data = append(binary.BigEndian.AppendUint16(nil, *d.Code), data...)
	}
	return data
}

// jsonBody is what a head says of its body.
type jsonBody struct {
	Size      int64 `json:"size"`
	Truncated bool  `json:"truncated"`
}

// ref joins what is said of a body with what came of it.
func (b *building) ref(name string, said *jsonBody) (ref flow.BodyRef) {
	if p := b.bodies[name]; p != nil {
		ref = p.Ref()
		ref.Truncated = ref.Truncated || p.missing
	}
	if said != nil {
		ref.Size = max(ref.Size, said.Size)
		ref.Truncated = ref.Truncated || said.Truncated
	}
	ref.Truncated = ref.Truncated || ref.Kept < ref.Size
	return ref
}
