package view

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	_ "image/gif"  // so that image knows it
	_ "image/jpeg" // likewise
	_ "image/png"  // likewise
	"strconv"
	"strings"

	_ "golang.org/x/image/bmp"  // likewise
	_ "golang.org/x/image/tiff" // likewise
	_ "golang.org/x/image/webp" // likewise
)

// picture prints what an image is: kind, size, and the words in it.
func picture(p *printer, body []byte) error {
	if kind, w, h, ok := icon(body); ok {
		p.size(kind, w, h)
		return nil
	}
	if brand, ok := isoBrand(body); ok {
		p.pair("kind", String, brand)
		p.pair("bytes", Number, strconv.Itoa(len(body)))
		if i := bytes.Index(body[:min(len(body), 1<<16)], []byte("ispe")); i >= 0 && i+16 <= len(body) {
			p.pair("size", Number, dimensions(int(binary.BigEndian.Uint32(body[i+8:])), int(binary.BigEndian.Uint32(body[i+12:]))))
		}
		return nil
	}
	c, kind, err := image.DecodeConfig(bytes.NewReader(body))
	if err != nil {
		return faultAt(0, "%v", err)
	}
	p.size(kind, c.Width, c.Height)
	p.pair("bytes", Number, strconv.Itoa(len(body)))
	switch kind {
	case "png":
		pngChunks(p, body)
	case "jpeg":
		jpegSegments(p, body)
	case "gif":
		p.pair("version", String, string(body[3:6]))
	}
	return nil
}

func (p *printer) size(kind string, w, h int) {
	p.pair("kind", String, kind)
	p.pair("size", Number, dimensions(w, h))
}

func dimensions(w, h int) string { return strconv.Itoa(w) + " × " + strconv.Itoa(h) }

// isPicture looks at the first bytes.
func isPicture(body []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "GIF87a", "GIF89a", "\xff\xd8\xff", "II*\x00", "MM\x00*"} {
		if bytes.HasPrefix(body, []byte(magic)) {
			return true
		}
	}
	if len(body) > 12 && string(body[:4]) == "RIFF" && string(body[8:12]) == "WEBP" {
		return true
	}
	_, ok := isoBrand(body)
	return ok
}

// isoBrand recognises AVIF and HEIC by their box of file types (ISO 14496-12).
func isoBrand(body []byte) (string, bool) {
	if len(body) < 12 || string(body[4:8]) != "ftyp" {
		return "", false
	}
	switch string(body[8:12]) {
	case "avif", "avis":
		return "avif", true
	case "heic", "heix", "mif1", "msf1", "hevc":
		return "heic", true
	}
	return "", false
}

// icon reads the head of an ICO.
func icon(body []byte) (kind string, w, h int, ok bool) {
	if len(body) < 22 || !bytes.HasPrefix(body, []byte{0, 0, 1, 0}) {
		return "", 0, 0, false
	}
	n := int(binary.LittleEndian.Uint16(body[4:]))
	side := func(b byte) int { return (int(b)+255)%256 + 1 } // 0 is 256
	return fmt.Sprintf("ico with %d images", n), side(body[6]), side(body[7]), n > 0
}

// pngChunks prints the names of chunks, and text (PNG, section 11.3.3).
func pngChunks(p *printer, body []byte) {
	for at := 8; at+8 <= len(body) && !p.stopped; {
		n := int64(binary.BigEndian.Uint32(body[at:]))
		name := string(body[at+4 : at+8])
		if n > int64(len(body)-at-8) {
			p.note(Fault, "ends within "+strconv.Quote(name))
			return
		}
		data := body[at+8 : at+8+int(n)]
		switch name {
		case "tEXt", "iTXt", "zTXt":
			key, text, _ := strings.Cut(string(data), "\x00")
			if name == "iTXt" && len(text) > 2 && text[0] == 0 {
				fields := strings.SplitN(text[2:], "\x00", 3)
				text = fields[len(fields)-1]
			} else if name != "tEXt" {
				text = strconv.Itoa(len(text)) + " bytes, compressed"
			}
			p.pair(key, String, text)
		case "eXIf":
			exif(p, data)
		case "acTL":
			if len(data) >= 4 {
				p.pair("frames", Number, strconv.FormatUint(uint64(binary.BigEndian.Uint32(data)), 10))
			}
		}
		at += 12 + int(n)
	}
}

// jpegSegments prints comments and EXIF (JPEG, annex B).
func jpegSegments(p *printer, body []byte) {
	for at := 2; at+4 <= len(body) && body[at] == 0xff && !p.stopped; {
		marker, n := body[at+1], int(binary.BigEndian.Uint16(body[at+2:]))
		if marker == 0xda || n < 2 || at+2+n > len(body) {
			return
		}
		data := body[at+4 : at+2+n]
		switch {
		case marker == 0xfe:
			p.pair("comment", String, string(data))
		case marker == 0xe1 && bytes.HasPrefix(data, []byte("Exif\x00\x00")):
			exif(p, data[6:])
		}
		at += 2 + n
	}
}
