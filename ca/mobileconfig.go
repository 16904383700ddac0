package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"html"
	"strings"
)

// mobileConfig returns an Apple configuration profile that installs cert as a
// root. Its identifiers follow from the certificate, so that installing it
// again replaces it and another authority's stands beside it.
func mobileConfig(cert *x509.Certificate) []byte {
	name := displayName(cert)
	id := profileUUID(cert, "profile")
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>PayloadCertificateFileName</key>
			<string>ca.cer</string>
			<key>PayloadContent</key>
			<data>`)
	b.WriteString(base64.StdEncoding.EncodeToString(cert.Raw))
	b.WriteString("</data>\n")
	payload(&b, "\t\t\t", "com.apple.security.root", profileUUID(cert, "certificate"), name,
		"Lets this device trust certificates made by "+name+".")
	b.WriteString("\t\t</dict>\n\t</array>\n")
	payload(&b, "\t", "Configuration", id, name,
		"Whoever runs the proxy with this certificate can read and change the encrypted traffic of this device "+
			"that passes through it. Remove this profile when you no longer need it.")
	b.WriteString("\t<key>PayloadRemovalDisallowed</key>\n\t<false/>\n</dict>\n</plist>\n")
	return []byte(b.String())
}

// payload writes the keys that every payload has.
func payload(b *strings.Builder, indent, kind, uuid, name, text string) {
	for _, kv := range [][2]string{
		{"PayloadDescription", text},
		{"PayloadDisplayName", name},
		{"PayloadIdentifier", "transom.ca." + uuid},
		{"PayloadType", kind},
		{"PayloadUUID", uuid},
	} {
		fmt.Fprintf(b, "%s<key>%s</key>\n%s<string>%s</string>\n", indent, kv[0], indent, html.EscapeString(kv[1]))
	}
	fmt.Fprintf(b, "%s<key>PayloadVersion</key>\n%s<integer>1</integer>\n", indent, indent)
}

// profileUUID is a UUID of version 8 (RFC 9562, section 5.8) made of cert and
// what the UUID is for.
func profileUUID(cert *x509.Certificate, use string) string {
	h := sha256.Sum256(append([]byte("transom "+use+" "), cert.Raw...))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}
