package main

import (
	"strings"
	"testing"

	"transom/platform/trust"
)

// TestTrustPrinted: what makes several programs trust is printed once, with their names.
func TestTrustPrinted(t *testing.T) {
	var b strings.Builder
	if err := printTrust(&b, nil, []trust.Program{
		{Name: "curl", By: "/etc/ssl/cert.pem", Mend: "transom ca trust"},
		{Name: "node", By: "its own roots", Mend: "export X=y"},
		{Name: "git", By: "/etc/ssl/cert.pem", Mend: "transom ca trust"},
		{Name: "java", Trusts: true, By: "cacerts"},
	}); err != nil {
		t.Fatal(err)
	}
	const want = `STORE  TRUSTS  PLACE

PROGRAM  TRUSTS  BY
curl     no      /etc/ssl/cert.pem
node     no      its own roots
git      no      /etc/ssl/cert.pem
java     yes     cacerts

WHAT MAKES THEM
transom ca trust
    curl, git
export X=y
    node
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := printTrust(&b, nil, []trust.Program{{Name: "java", Trusts: true, By: "cacerts"}}); err != nil || strings.Contains(b.String(), "MAKES") {
		t.Errorf("%v: %s", err, b.String())
	}
}
