package landing

import (
	"html"
	"net/netip"
	"strings"

	"transom/ca"
	"transom/exchange"
	"transom/flow"
)

// A page writes the HTML. Its authority does not change while it lives.
type page struct {
	authority *ca.Authority
	info      ca.Info
	policy    string   // the Content-Security-Policy of pages
	files     []string // pairs for strings.NewReplacer: "{pem}" and the file's name
}

func newPage(a *ca.Authority) *page {
	p := &page{authority: a, info: a.Info(), policy: contentPolicy()}
	p.files = append(p.files, "{name}", html.EscapeString(p.info.Name), "{password}", ca.Password)
	for _, f := range []ca.Format{ca.PEM, ca.DER, ca.PKCS12, ca.Android} {
		file, err := a.Export(f)
		if err != nil {
			continue // the download itself will say why
		}
		p.files = append(p.files, "{"+string(f)+"}", html.EscapeString(file.Name))
	}
	return p
}

// welcome is the page proper.
func (p *page) welcome(req *exchange.Request) string {
	var b strings.Builder
	head(&b, "transom: install the certificate")
	b.WriteString(`<header>
<h1>transom</h1>
<p>You have reached a proxy. It stands between this device and the network and shows its owner what passes.</p>
</header>
<main>
<section class="note" aria-labelledby="trust">
<h2 id="trust">Before you install anything</h2>
<p><strong>Whoever runs this proxy can read and change what this device sends and receives through it.</strong>
With its certificate installed that goes for encrypted traffic too: pages, apps, messages, passwords.
Install it only if you run this proxy or trust who does, and remove it when you are done.</p>
</section>
`)
	b.WriteString(`<p class="how"><span class="dot `)
	b.WriteString(how(req.Conn))
	b.WriteString("</p>\n")

	b.WriteString("<section aria-labelledby=\"install\">\n<h2 id=\"install\">Install the certificate</h2>\n")
	replace := strings.NewReplacer(append(p.files, "{base}", "http://"+html.EscapeString(ownAddress(req.Conn)))...)
	for i, g := range ordered(req.Header.Get("User-Agent")) {
		g.write(&b, replace, i == 0)
	}
	b.WriteString("</section>\n")
	p.compare(&b)
	b.WriteString(`<section aria-labelledby="after">
<h2 id="after">If something still does not work</h2>
<p>Some apps accept only the certificates they were built with. They refuse any proxy, and no setting of this device
changes that. The owner of this proxy can let them pass unread.</p>
</section>
</main>
`)
	foot(&b)
	return b.String()
}

// compare writes what the certificate is, to be compared with what its owner
// sees: this page came unencrypted, so anybody on the way could have changed it.
func (p *page) compare(b *strings.Builder) {
	b.WriteString(`<section aria-labelledby="compare">
<h2 id="compare">Compare before you trust</h2>
<p>This page came unencrypted. Before you confirm, compare what your device shows with what
<code>transom&nbsp;ca&nbsp;show</code> prints on the machine that runs the proxy.</p>
<dl>
`)
	for _, row := range [][2]string{
		{"Name", html.EscapeString(p.info.Name)},
		{"SHA-256", digits(p.info.SHA256)},
		{"SHA-1", digits(p.info.SHA1)},
		{"Valid", p.info.NotBefore.Format("2006-01-02") + " to " + p.info.NotAfter.Format("2006-01-02")},
	} {
		b.WriteString("<dt>" + row[0] + "</dt><dd>" + row[1] + "</dd>\n")
	}
	b.WriteString("</dl>\n</section>\n")
}

// digits writes a fingerprint so that it can be copied whole and breaks only
// after every eighth byte.
func digits(fingerprint string) string {
	var b strings.Builder
	b.WriteString(`<code class="digits">`)
	for i, pair := range strings.SplitAfter(fingerprint, ":") {
		if i > 0 && i%8 == 0 {
			b.WriteString("<wbr>")
		}
		b.WriteString(html.EscapeString(pair))
	}
	b.WriteString("</code>")
	return b.String()
}

// problem is a page that says one thing.
func (p *page) problem(title, text string) string {
	var b strings.Builder
	head(&b, "transom: "+title)
	b.WriteString("<main>\n<h1>" + title + "</h1>\n<p>" + text + "</p>\n")
	b.WriteString("<p><a class=\"button\" href=\"/\">The proxy's own page</a></p>\n</main>\n")
	foot(&b)
	return b.String()
}

func head(b *strings.Builder, title string) {
	b.WriteString(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>` + title + `</title>
<link rel="icon" href="data:,">
<style>` + style + `</style>
</head>
<body>
`)
}

func foot(b *strings.Builder) { b.WriteString("</body>\n</html>\n") }

// how says how the request came here: the class of the mark, and the text. A
// nil c is one that nothing is known of.
func how(c *flow.Conn) string {
	if c == nil {
		c = new(flow.Conn)
	}
	from := ""
	if c.Client.IsValid() {
		from = " (" + html.EscapeString(c.Client.Addr().Unmap().WithZone("").String()) + ")"
	}
	switch c.Via {
	case "redirect", "tproxy", "divert":
		return `on"></span>This request was <strong>redirected</strong> here on its way: ` +
			`this device` + from + ` sends its traffic through the proxy.`
	case "proxy", "connect":
		return `on"></span>This request came <strong>by proxy settings</strong>: ` +
			`a program on this device` + from + ` is set to use the proxy.`
	}
	return `off"></span>This request came <strong>directly</strong>: this device` + from +
		` asked for this address itself. It does not show whether its other traffic passes through the proxy.`
}

// ownAddress is where the device reached us, for commands it may copy.
func ownAddress(c *flow.Conn) string {
	if c == nil || !c.Local.IsValid() || c.Local.Addr().IsUnspecified() {
		return "PROXY:8080"
	}
	return netip.AddrPortFrom(c.Local.Addr().Unmap().WithZone(""), c.Local.Port()).String()
}
