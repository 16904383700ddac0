package pcapng

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Blocks and options of the format (draft-ietf-opsawg-pcapng, sections 3 and 4).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockNames     = 4
	blockPacket    = 6
	blockSecrets   = 10

	optEnd        = 0
	optComment    = 1
	optProgram    = 4
	optName       = 2 // of an interface
	optFlags      = 2 // of a packet
	optResolution = 9

	linkRaw     = 101        // an IP packet, by its version
	secretsTLS  = 0x544c534b // lines of an NSS key log
	nanoseconds = 9          // of a second, as a power of ten

	inbound, outbound = 1, 2 // of a packet's flags

	maxComment = 1 << 10
)

// A block is put together in b, little-endian.
type block struct {
	b    []byte
	from int // where it begins
}

// begin begins a block at the end of dst.
func begin(dst []byte, kind uint32) *block {
	k := &block{b: dst, from: len(dst)}
	k.u32(kind)
	k.u32(0) // the length, once it is known
	return k
}

func (k *block) u16(v uint16) { k.b = binary.LittleEndian.AppendUint16(k.b, v) }
func (k *block) u32(v uint32) { k.b = binary.LittleEndian.AppendUint32(k.b, v) }

func (k *block) option(code uint16, v []byte) {
	k.u16(code)
	k.u16(uint16(len(v)))
	k.padded(v)
}

// padded appends v up to a multiple of four.
func (k *block) padded(v []byte) {
	k.b = append(k.b, v...)
	for range (4 - len(v)%4) % 4 {
		k.b = append(k.b, 0)
	}
}

// end ends the options, if there are some, and the block.
func (k *block) end(options bool) []byte {
	if options {
		k.u32(optEnd)
	}
	size := uint32(len(k.b) - k.from + 4)
	k.u32(size)
	binary.LittleEndian.PutUint32(k.b[k.from+4:], size)
	return k.b
}

// appendSection appends what a file begins with: a section, and its interface.
func appendSection(dst []byte, program string) []byte {
	k := begin(dst, blockSection)
	k.u32(0x1a2b3c4d) // which tells the order of bytes
	k.u16(1)
	k.u16(0)
	k.u32(0xffffffff) // how long it is nobody knows
	k.u32(0xffffffff)
	k.option(optProgram, []byte(program))
	k = begin(k.end(true), blockInterface)
	k.u16(linkRaw)
	k.u16(0)
	k.u32(0) // packets may have any length
	k.option(optName, []byte("decrypted"))
	k.option(optResolution, []byte{nanoseconds})
	return k.end(true)
}

// appendPacket appends a packet. comment is "" for none.
func appendPacket(dst []byte, at time.Time, packet []byte, flags uint32, comment string) []byte {
	k := begin(dst, blockPacket)
	k.u32(0)
	ns := uint64(max(at.UnixNano(), 0))
	k.u32(uint32(ns >> 32))
	k.u32(uint32(ns))
	k.u32(uint32(len(packet)))
	k.u32(uint32(len(packet)))
	k.padded(packet)
	if comment != "" {
		k.option(optComment, []byte(comment[:min(len(comment), maxComment)]))
	}
	k.u16(optFlags)
	k.u16(4)
	k.u32(flags)
	return k.end(true)
}

// appendName appends that an address has a name.
func appendName(dst []byte, a netip.Addr, name string) []byte {
	k := begin(dst, blockNames)
	kind := uint16(1)
	if a.Is6() {
		kind = 2
	}
	v := append(append(a.AsSlice(), name...), 0)
	k.u16(kind)
	k.u16(uint16(len(v)))
	k.padded(v)
	k.u32(0)
	return k.end(false)
}

// appendSecrets appends lines of a key log.
func appendSecrets(dst, lines []byte) []byte {
	k := begin(dst, blockSecrets)
	k.u32(secretsTLS)
	k.u32(uint32(len(lines)))
	k.padded(lines)
	return k.end(false)
}
