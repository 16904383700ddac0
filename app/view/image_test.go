package view_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"transom/app/view"
)

// tiff is a directory with a maker and an orientation, and one with a latitude.
const tiff = "MM\x00*\x00\x00\x00\x08\x00\x03" +
	"\x01\x0f\x00\x02\x00\x00\x00\x05\x00\x00\x00\x32" +
	"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" +
	"\x88\x25\x00\x04\x00\x00\x00\x01\x00\x00\x00\x38" +
	"\x00\x00\x00\x00Acme\x00\x00" +
	"\x00\x01\x00\x02\x00\x05\x00\x00\x00\x03\x00\x00\x00\x46" +
	"\x00\x00\x00\x34\x00\x00\x00\x01\x00\x00\x00\x1e\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02"

func chunk(name, data string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, name+data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
}

// pictures are one of each kind.
func pictures() map[string]string {
	m := image.NewPaletted(image.Rect(0, 0, 3, 2), color.Palette{color.Black, color.White})
	var p, j, g bytes.Buffer
	_ = png.Encode(&p, m)
	_ = jpeg.Encode(&j, m, nil)
	_ = gif.Encode(&g, m, nil)
	withText := p.String()[:33] + chunk("tEXt", "Title\x00A name") + chunk("iTXt", "Note\x00\x00\x00en\x00\x00caf\u00e9") + chunk("eXIf", tiff) + p.String()[33:]
	app1 := "Exif\x00\x00" + tiff
	withExif := j.String()[:2] + "\xff\xe1" + string(binary.BigEndian.AppendUint16(nil, uint16(len(app1)+2))) + app1 + "\xff\xfe\x00\x07hello" + j.String()[2:]
	return map[string]string{
		"png": withText, "jpeg": withExif, "gif": g.String(),
		"ico":  "\x00\x00\x01\x00\x02\x00\x10\x00\x00\x00\x01\x00\x20\x00\x00\x00\x00\x00\x16\x00\x00\x00",
		"avif": "\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1miaf\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x20",
		"webp": "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x02\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
}

func TestImages(t *testing.T) {
	all := pictures()
	var s []specimen
	for _, kind := range []string{"png", "jpeg", "gif", "ico", "avif", "webp"} {
		about := view.About{}
		if kind == "ico" {
			about.Type = "image/x-icon"
		}
		s = append(s, specimen{name: "image-" + kind, about: about, body: all[kind]})
	}
	s = append(s, specimen{name: "image-that-is-none", about: view.About{Type: "image/png"}, body: "<html>"})
	golden(t, s)
}

func FuzzImage(f *testing.F) {
	var seeds []string
	for _, s := range pictures() {
		seeds = append(seeds, s)
	}
	fuzz(f, "image", view.About{}, seeds...)
}

func BenchmarkImage(b *testing.B) { bench(b, specimen{view: "image", body: pictures()["png"]}) }
