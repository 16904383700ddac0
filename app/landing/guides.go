package landing

import (
	"html"
	"slices"
	"strings"
)

// A guide is how a certificate gets into one platform. Its texts are HTML in
// which {pem}, {der}, {p12}, {android} stand for file names, {name} for the
// certificate's, {password} for that of PKCS#12 files, and {base} for the
// proxy's own URL.
type guide struct {
	id, title string
	path      string // of the file to download
	button    string
	steps     []string
	commands  [][2]string // what it is for, the command
	notes     []string
	agents    []string // in the User-Agent of browsers there
}

// guides are in the order of a device that says nothing. The agents of an
// earlier guide win: a phone's browser names the desktop it descends from.
var guides = []guide{
	{
		id: "ios", title: "iPhone and iPad", path: "/cert/mobileconfig", button: "Download the profile",
		agents: []string{"iPhone", "iPad", "iPod"},
		steps: []string{
			"Open this page in <b>Safari</b>, tap the button, and allow the download.",
			"Open <b>Settings</b>, tap <b>Profile Downloaded</b>, then <b>Install</b>. It is also under " +
				"<b>General › VPN &amp; Device Management</b>.",
			"Go to <b>Settings › General › About › Certificate Trust Settings</b> and switch on <b>{name}</b>. " +
				"Until then nothing trusts it.",
		},
		notes: []string{"To remove it: <b>Settings › General › VPN &amp; Device Management</b>, the profile, <b>Remove</b>."},
	},
	{
		id: "android", title: "Android", path: "/cert/cer", button: "Download the certificate",
		agents: []string{"Android"},
		steps: []string{
			"Tap the button and keep the file <b>{der}</b>.",
			"Open <b>Settings</b> and search for <b>CA certificate</b>. Without search: <b>Security &amp; privacy › " +
				"More security settings › Encryption &amp; credentials › Install a certificate › CA certificate</b>.",
			"Tap <b>Install anyway</b> and choose the file.",
		},
		notes: []string{
			"It goes into the user's store. Chrome uses that. <b>Apps made for Android 7 or later ignore it</b> " +
				"unless their maker lets them, and so does most of what is not a browser.",
			"Firefox: <b>Settings › About Firefox</b>, tap the logo five times, then under <b>Settings › Secret Settings</b> " +
				"switch on <b>Use third party CA certificates</b>.",
			"On an emulator or a rooted device the system's store serves all apps: copy " +
				"<a href=\"/cert/android\" download>{android}</a>, mode 644, to <code>/system/etc/security/cacerts</code>, " +
				"from Android 14 on to <code>/apex/com.android.conscrypt/cacerts</code>.",
			"To remove it: <b>Encryption &amp; credentials › User credentials</b>.",
		},
	},
	{
		id: "windows", title: "Windows", path: "/cert/cer", button: "Download the certificate",
		agents: []string{"Windows"},
		steps: []string{
			"Open <b>{der}</b> and choose <b>Install Certificate</b>, then <b>Local Machine</b>.",
			"Choose <b>Place all certificates in the following store</b>, <b>Browse</b>, " +
				"<b>Trusted Root Certification Authorities</b>.",
			"Finish, and start the browser again.",
		},
		commands: [][2]string{{"Or in a terminal run as administrator", "certutil -addstore -f Root {der}"}},
		notes: []string{
			"Edge, Chrome and Firefox use this store; Java, Python and Node.js have their own.",
			"To remove it: run <code>certlm.msc</code> and delete {name} there.",
		},
	},
	{
		id: "macos", title: "macOS", path: "/cert/pem", button: "Download the certificate",
		agents: []string{"Macintosh", "Mac OS X"},
		steps: []string{
			"Open <b>{pem}</b>: it goes into Keychain Access.",
			"Find <b>{name}</b> there and open it.",
			"Under <b>Trust</b> set <b>When using this certificate</b> to <b>Always Trust</b>, and close the window.",
		},
		commands: [][2]string{{
			"Or in a terminal",
			"sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ~/Downloads/{pem}",
		}},
		notes: []string{"To remove it: delete {name} in Keychain Access."},
	},
	{
		id: "linux", title: "Linux", path: "/cert/pem", button: "Download the certificate",
		agents: []string{"Linux", "X11", "CrOS", "BSD", "curl", "Wget"},
		commands: [][2]string{
			{"Fetch it", "curl -o {pem} {base}/cert/pem"},
			{"Debian, Ubuntu, Alpine", "sudo cp {pem} /usr/local/share/ca-certificates/transom.crt\nsudo update-ca-certificates"},
			{"Fedora, RHEL", "sudo cp {pem} /etc/pki/ca-trust/source/anchors/\nsudo update-ca-trust"},
			{"openSUSE", "sudo cp {pem} /etc/pki/trust/anchors/\nsudo update-ca-certificates"},
			{"Arch", "sudo trust anchor --store {pem}"},
			{"Chrome and Chromium, which have their own list", "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n transom -i {pem}"},
		},
		notes: []string{
			"Programs with a list of their own: <code>REQUESTS_CA_BUNDLE</code> for Python's requests, " +
				"<code>NODE_EXTRA_CA_CERTS</code> for Node.js, each the path of {pem}.",
			"To remove it: delete the copied file and run the same update command.",
		},
	},
	{
		id: "firefox", title: "Firefox on a computer", path: "/cert/pem", button: "Download the certificate",
		steps: []string{
			"Open <b>Settings › Privacy &amp; Security › Certificates › View Certificates</b>.",
			"Under <b>Authorities</b> choose <b>Import</b>, and <b>{pem}</b>.",
			"Tick <b>Trust this CA to identify websites</b>.",
		},
		notes: []string{"On Windows and macOS Firefox takes the system's certificates too, so this is seldom needed there."},
	},
	{
		id: "java", title: "Java", path: "/cert/pem", button: "Download the certificate",
		agents: []string{"Java/", "Java-http-client"},
		commands: [][2]string{
			{"Java 9 and later", "keytool -importcert -cacerts -noprompt -storepass changeit -alias transom -file {pem}"},
			{
				"For one program, in place of Java's own list",
				"java -Djavax.net.ssl.trustStore={p12} -Djavax.net.ssl.trustStorePassword={password} …",
			},
		},
		notes: []string{
			"The trust store: <a href=\"/cert/p12\" download>for Java 12 and later</a>, " +
				"<a href=\"/cert/p12-legacy\" download>for earlier ones</a>, which ends in -legacy.p12.",
			"To remove it: <code>keytool -delete -cacerts -storepass changeit -alias transom</code>.",
		},
	},
}

// ordered returns the guides, the one for the device first. The User-Agent
// decides about the order and nothing else.
func ordered(userAgent string) []*guide {
	list := make([]*guide, len(guides))
	first := -1
	for i := range guides {
		list[i] = &guides[i]
		if first < 0 && guides[i].isFor(userAgent) {
			first = i
		}
	}
	if first > 0 {
		own := list[first]
		list = slices.Insert(slices.Delete(list, first, first+1), 0, own)
	}
	return list
}

func (g *guide) isFor(userAgent string) bool {
	return slices.ContainsFunc(g.agents, func(a string) bool { return strings.Contains(userAgent, a) })
}

// write writes the guide, unfolded if it is open.
func (g *guide) write(b *strings.Builder, replace *strings.Replacer, open bool) {
	b.WriteString(`<details id="` + g.id + `"`)
	if open {
		b.WriteString(" open")
	}
	b.WriteString("><summary>" + g.title + "</summary>\n<div>\n")
	b.WriteString(`<a class="button" href="` + g.path + `">` + g.button +
		`<span class="hidden"> for ` + g.title + "</span></a>\n")
	if len(g.steps) > 0 {
		b.WriteString("<ol>\n")
		for _, s := range g.steps {
			b.WriteString("<li>" + replace.Replace(s) + "</li>\n")
		}
		b.WriteString("</ol>\n")
	}
	for _, c := range g.commands {
		b.WriteString("<p class=\"for\">" + c[0] + "</p>\n<pre>" +
			replace.Replace(html.EscapeString(c[1])) + "</pre>\n")
	}
	for _, n := range g.notes {
		b.WriteString("<p class=\"small\">" + replace.Replace(n) + "</p>\n")
	}
	b.WriteString("</div></details>\n")
}
