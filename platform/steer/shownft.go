package steer

import (
	"fmt"
	"strings"

	"transom/platform"
)

// showNFT writes s for nft.
func showNFT(b *script, s platform.Steering) error {
	b.head(&s, "nft", "nft and ip (iproute2)")
	b.forSockets(steeringOf(s))
	b.comment("", "transom owns its table of captures itself, so that the table is gone when transom is, however it ends. Here nobody owns it: it stays until down.")
	b.linux(steeringOf(s), filterText{
		present: `nft list tables | grep -q '^table inet ` + tableName + `'`,
		keep: "{\n" +
			"\t\techo 'add table inet " + divertName + "; add chain inet " + divertName + " " + wasName + "'\n" +
			"\t\tsed 's/.*/add rule inet " + divertName + " " + wasName + " counter comment \"&\"/'\n" +
			"\t} | nft -f -",
		kept:   "nft list chain inet " + divertName + " " + wasName + ` | sed -n 's/.*comment "\(.*\)".*/\1/p'`,
		up:     func() { b.nftTables(s) },
		stop:   func() { b.nftStop(s) },
		remove: func() { b.nftRemove(s) },
	})
	return nil
}

// nftTables writes the tables as one transaction.
func (b *script) nftTables(s platform.Steering) {
	b.comment("\t", "The rules, all of them at once.")
	b.linef("\tnft -f - <<'END'")
	for _, t := range Tables(s) {
		shown := *t
		shown.Owned = false // or it would end with nft
		if why := tableWhy(t.Name); why != "" {
			b.comment("", why)
		}
		b.lines(shown.String())
	}
	b.linef("END")
	b.passes(steeringOf(s))
}

// passes says what other firewalls have to accept.
func (b *script) passes(t *steering) {
	accept := func(marks ...uint32) string {
		words := make([]string, len(marks))
		for i, m := range marks {
			words[i] = fmt.Sprintf("meta mark & %#x == %#x accept", t.marks.Mask, m)
		}
		return strings.Join(words, "; ")
	}
	b.comment("\t", fmt.Sprintf("Another firewall that lets nothing in drops these packets all the same: each table has its say. Its chain at hook input then needs this at its head: %s", accept(t.marks.In)))
	b.comment("\t", fmt.Sprintf("One that lets nothing out needs this in its chain at hook output, if the sockets have these marks: %s", accept(t.sent()...)))
}

// tableWhy says what a table of ours is for.
func tableWhy(name string) string {
	switch {
	case name == tableName:
		return "The captures. What is marked has been decided on; a chain's accept ends that chain alone, and other tables' rules are run all the same."
	case name == divertName:
		return "What belongs to connections that are open. It touches packets only if there is a socket for them here, so it does no harm when nothing is captured."
	case strings.HasSuffix(name, "_closed"):
		return "What would be captured never gets here. While nobody captures it, it is refused."
	}
	return ""
}

// nftStop removes the tables that capture or refuse.
func (b *script) nftStop(s platform.Steering) {
	b.comment("\t", "The captures first: what comes from now on goes direct. Connections that are open need the rest; end transom before it goes.")
	for _, t := range Tables(s) {
		if t.Name != divertName {
			b.linef("\tnft delete table inet %s", t.Name)
		}
	}
}

// nftRemove removes what open connections needed.
func (b *script) nftRemove(s platform.Steering) {
	has := len(s.Interfaces) > 0 // then the settings are kept there
	for _, t := range Tables(s) {
		has = has || t.Name == divertName
	}
	if has {
		b.comment("\t", "What open connections needed, and the kept settings.")
		b.linef("\tnft delete table inet %s", divertName)
	}
}
