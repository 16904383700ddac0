package h1_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestRFC9112ValidMessagesPass generates conversations of valid messages, and
// has them pass byte for byte.
func TestRFC9112ValidMessagesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(endless{t}, func(t *rapid.T) {
			r := newRFCRelay(t, rfcSetup{segment: rapid.SampledFrom([]int{0, 1, 2, 7, 100}).Draw(t, "segment")})
			defer r.finish()
			var script []string
			for range rapid.IntRange(1, 4).Draw(t, "exchanges") {
				method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "get", "X-!"}).Draw(t, "method")
				script = append(script, ">"+genRequest(t, method), "<"+genResponse(t, method))
			}
			rfcPlay(r, script, false, false)
			r.wantServing()
		})
	})
}

// endless hides the test's deadline, which is in a time outside the bubble.
type endless struct{ *testing.T }

func (endless) Deadline() (time.Time, bool) { return time.Time{}, false }

func genRequest(t *rapid.T, method string) string {
	lead := rapid.SampledFrom([]string{"", "", "", "\r\n"}).Draw(t, "lead")
	target := rapid.StringMatching(`/[!-~]{0,12}`).Draw(t, "target")
	fields := append(genFields(t), genName(t, "Host")+":"+genSpace(t)+rapid.StringMatching(`[a-z]{0,5}(\.[a-z]{1,3})?(:[1-9][0-9]{0,3})?`).Draw(t, "host")+genSpace(t))
	coding, body := genBody(t, true)
	return lead + method + " " + strings.ReplaceAll(target, "#", "_") + " HTTP/1.1\r\n" + genSection(t, append(fields, coding...)) + body
}

func genResponse(t *rapid.T, method string) string {
	var s string
	for range rapid.IntRange(0, 2).Draw(t, "interims") {
		s += fmt.Sprintf("HTTP/1.1 %d %s\r\n", rapid.IntRange(102, 199).Draw(t, "interim"), genValue(t)) + genSection(t, genFields(t))
	}
	status := rapid.OneOf(rapid.SampledFrom([]int{200, 204, 304, 404}), rapid.IntRange(200, 599)).Draw(t, "status")
	coding, body := genBody(t, false)
	if method == "HEAD" || status == 204 || status == 304 {
		body = ""
	}
	return s + fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, genValue(t)) + genSection(t, append(genFields(t), coding...)) + body
}

// genSection is fields in any order, and the empty line.
func genSection(t *rapid.T, fields []string) string {
	if len(fields) > 0 {
		fields = rapid.Permutation(fields).Draw(t, "order")
	}
	return strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func genFields(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		name := rapid.StringMatching("X-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,8}").Draw(t, "name")
		return name + ":" + genSpace(t) + genValue(t) + genSpace(t)
	}), 0, 5).Draw(t, "fields")
}

// genValue is a field value or reason phrase, which neither begins nor ends
// with white space.
func genValue(t *rapid.T) string {
	b := rapid.SliceOfN(rapid.OneOf(rapid.ByteRange(' ', '~'), rapid.ByteRange(0x80, 0xff), rapid.Just(byte('\t'))), 0, 12).Draw(t, "value")
	return strings.Trim(string(b), " \t")
}

func genSpace(t *rapid.T) string {
	return rapid.SampledFrom([]string{" ", "", "\t", " \t "}).Draw(t, "space")
}

// genName writes a name in some case.
func genName(t *rapid.T, name string) string {
	return rapid.SampledFrom([]string{name, strings.ToLower(name), strings.ToUpper(name)}).Draw(t, "case")
}

// genBody is a body and the fields that frame it.
func genBody(t *rapid.T, mayBeNone bool) (fields []string, body string) {
	kind := rapid.SampledFrom([]string{"length", "chunked", "none"}).Draw(t, "framing")
	payload := func(most int) string {
		return string(rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\r\n0:"))), 0, most).Draw(t, "payload"))
	}
	switch {
	case kind == "none" && mayBeNone:
		return nil, ""
	case kind == "chunked":
		for range rapid.IntRange(0, 4).Draw(t, "chunks") {
			if p := payload(20); p != "" {
				body += fmt.Sprintf("%s%x%s\r\n%s\r\n", genZeros(t), len(p), genExtension(t), p)
			}
		}
		body += "0" + genZeros(t) + genExtension(t) + "\r\n" + genSection(t, genFields(t))
		return []string{genName(t, "Transfer-Encoding") + ":" + genSpace(t) + genName(t, "chunked") + genSpace(t)}, body
	}
	p := payload(60)
	return []string{fmt.Sprintf("%s:%s%s%d%s", genName(t, "Content-Length"), genSpace(t), genZeros(t), len(p), genSpace(t))}, p
}

func genZeros(t *rapid.T) string {
	return strings.Repeat("0", rapid.IntRange(0, 3).Draw(t, "zeros"))
}

func genExtension(t *rapid.T) string {
	return rapid.StringMatching(`(;[a-z]{1,3}(=([a-z0-9]{1,3}|"[ -!#-\[\]-~]{0,4}"))?){0,2}`).Draw(t, "extension")
}
