package traffic

import (
	"strings"

	"pgregory.net/rapid"
)

var operators = []string{
	"~all", "~a", "~dns", "~e", "~http", "~marked", "~q", "~s", "~tcp", "~udp", "~websocket", "~replay",
	"~marker .", "~meta x*", "~c 200", "~c 404", "~c 101", "~c 0",
	"~status 4xx", "~status <400", "~status >=0", "~duration >=0s", "~duration <1s", "~duration 250ms-2s", "~size 0", "~size >1k", "~sizeq <=90", "~sizes 1k-1g",
	"~tls 1.3", "~tls <1.3", "~tlsq 1.0", "~tlss >1.0", "~since 2026-01-31T15:04:15Z", "~until 2026-01-31T15:04:15Z", "~until 0001-01-02",
	"~srcnet 192.168.7.0/24", "~srcnet ::/0", "~dstnet 198.51.100.1", "~dstnet fe80::/10,203.0.113.0/24", "~words hello", "~words 'World k'", "~words 'É'",
}

var searched = []string{
	"u", "d", "m", "src", "dst", "t", "tq", "ts", "h", "hq", "hs", "b", "bq", "bs", "name", "sni", "ja3", "ja4", "process", "user", "container", "unit",
	"reason", "proto", "tag", "device",
}

var patterns = []string{
	"a", "shop", "example$", "^Shop.Example$", "k", "K", "s", "straße", "x$", "^$", ".", "[^a]", "json|css", "192.168", ":443$", "é", "HELLO", "hello world",
	"(?!a)", "(?<!x)y", `\\w`, `\\d+`, "api/v1", "h2", "i", "日", "(a*)*b", "o, w", "\u017fhop", "\u212a", `\\.example`, "^https.*v1", "hello.*world", `shop\\.Example/x$`, "l.o", "a|b", "p?i", "v1\\\\?q=hello",
	"shop.*(example|test)", "[a-z]+/v1", "(?:shop){1}\\\\.", "h.llo [^a]orld", "(?-i:Hello)", "shop+\\\\b", "hello(?! w)",
}

// Question makes up an expression of package filter.
func Question(t *rapid.T) string { return question(t, 3) }

func question(t *rapid.T, deep int) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if deep == 0 || kind < 3 {
		if maybe(t) {
			return rapid.SampledFrom(operators).Draw(t, "operator")
		}
		return "~" + rapid.SampledFrom(searched).Draw(t, "operator") + ` "` + rapid.SampledFrom(patterns).Draw(t, "pattern") + `"`
	}
	if kind == 3 {
		return "!(" + question(t, deep-1) + " )"
	}
	var parts []string
	for range rapid.IntRange(2, 3).Draw(t, "operands") {
		parts = append(parts, "("+question(t, deep-1)+" )")
	}
	return strings.Join(parts, rapid.SampledFrom([]string{" & ", " | "}).Draw(t, "join"))
}
