package view

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// exifNames are the fields worth a line: who, with what, when and where.
var exifNames = map[uint16]string{
	0x010e: "description", 0x010f: "make", 0x0110: "model", 0x0112: "orientation", 0x0131: "software", 0x0132: "time",
	0x013b: "artist", 0x8298: "copyright", 0x9003: "taken", 0x9010: "zone", 0xa430: "owner", 0xa431: "serial", 0xa434: "lens",
}

var gpsNames = map[uint16]string{1: "latitude from", 2: "latitude", 3: "longitude from", 4: "longitude", 6: "altitude"}

const maxExif = 64 // fields of one directory

// An exifReader goes through TIFF's directories (Exif 2.32, section 4.6).
type exifReader struct {
	p     *printer
	b     []byte
	order binary.ByteOrder
}

// exif prints what it knows of b and is silent about the rest.
func exif(p *printer, b []byte) {
	if len(b) < 8 {
		return
	}
	e := exifReader{p: p, b: b, order: binary.BigEndian}
	if b[0] == 'I' {
		e.order = binary.LittleEndian
	}
	e.directory(uint64(e.order.Uint32(b[4:])), exifNames, 0)
}

func (e *exifReader) directory(at uint64, names map[uint16]string, depth int) {
	if depth > 1 || at+2 > uint64(len(e.b)) {
		return
	}
	n := int(e.order.Uint16(e.b[at:]))
	at += 2
	for range min(n, maxExif) {
		if at+12 > uint64(len(e.b)) || e.p.stopped {
			return
		}
		entry := e.b[at : at+12]
		at += 12
		switch tag := e.order.Uint16(entry); tag {
		case 0x8769:
			e.directory(uint64(e.order.Uint32(entry[8:])), exifNames, depth+1)
		case 0x8825:
			e.directory(uint64(e.order.Uint32(entry[8:])), gpsNames, depth+1)
		default:
			if name := names[tag]; name != "" {
				if v := e.value(entry); v != "" {
					e.p.pair(name, String, v)
				}
			}
		}
	}
}

// value returns text, whole numbers and fractions as words.
func (e *exifReader) value(entry []byte) string {
	kind, count := e.order.Uint16(entry[2:]), uint64(e.order.Uint32(entry[4:]))
	width := map[uint16]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[kind]
	if width == 0 || count == 0 || count > 1<<12 {
		return ""
	}
	data := entry[8:]
	if width*count > 4 {
		at := uint64(e.order.Uint32(data))
		if at+width*count > uint64(len(e.b)) {
			return ""
		}
		data = e.b[at : at+width*count]
	}
	if kind == 2 {
		return strings.TrimRight(string(data[:count]), "\x00 ")
	}
	var words []string
	for i := range min(count, 4) {
		d := data[i*width:]
		switch kind {
		case 1:
			words = append(words, strconv.Itoa(int(d[0])))
		case 3:
			words = append(words, strconv.Itoa(int(e.order.Uint16(d))))
		case 4:
			words = append(words, strconv.FormatUint(uint64(e.order.Uint32(d)), 10))
		case 5:
			num, den := e.order.Uint32(d), e.order.Uint32(d[4:])
			if den == 0 {
				return ""
			}
			words = append(words, strconv.FormatFloat(float64(num)/float64(den), 'g', 6, 64))
		}
	}
	return strings.Join(words, " ")
}
