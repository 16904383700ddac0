package ca_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transom/ca"
	"transom/internal/testnet"
)

// noon is a moment at which nothing in these tests expires by itself.
var noon = time.Date(2031, 3, 4, 12, 0, 0, 0, time.UTC)

func clock(t time.Time) func() time.Time { return func() time.Time { return t } }

// newAuthority returns an authority in memory, quick to make.
func newAuthority(t testing.TB, o ca.Options) *ca.Authority {
	t.Helper()
	o.ECDSA = true
	a, err := ca.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *ca.Authority, l ca.Leaf) *tls.Certificate {
	t.Helper()
	c, err := a.Issue(t.Context(), l)
	if err != nil {
		t.Fatalf("issue %+v: %v", l, err)
	}
	return c
}

// sans returns the names of c in the order of DNS names, then addresses.
func sans(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func TestLeafNames(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	long := strings.Repeat("a", 60) + ".example.com"
	tests := []struct {
		name string
		leaf ca.Leaf
		want []string
		cn   string
	}{
		{"sni", ca.Leaf{Name: "Example.COM"}, []string{"example.com"}, "example.com"},
		{"trailing-dot", ca.Leaf{Name: "example.com."}, []string{"example.com"}, "example.com"},
		{"underscore", ca.Leaf{Name: "_dmarc.ex_ample.com"}, []string{"_dmarc.ex_ample.com"}, "_dmarc.ex_ample.com"},
		{"odd-hyphens", ca.Leaf{Name: "-a-.b--.example"}, []string{"-a-.b--.example"}, "-a-.b--.example"},
		{"punycode", ca.Leaf{Name: "XN--bcher-KVA.example"}, []string{"xn--bcher-kva.example"}, "xn--bcher-kva.example"},
		{"one-label", ca.Leaf{Name: "router"}, []string{"router"}, "router"},
		{"address", ca.Leaf{Addr: netip.MustParseAddr("192.0.2.1")}, []string{"192.0.2.1"}, "192.0.2.1"},
		{"mapped-address", ca.Leaf{Addr: netip.MustParseAddr("::ffff:192.0.2.1")}, []string{"192.0.2.1"}, "192.0.2.1"},
		{"zoned-address", ca.Leaf{Addr: netip.MustParseAddr("fe80::1%eth0")}, []string{"fe80::1"}, "fe80::1"},
		{"address-as-sni", ca.Leaf{Name: "192.0.2.1"}, []string{"192.0.2.1"}, "192.0.2.1"},
		{"v6-in-brackets", ca.Leaf{Name: "[2001:db8::1]"}, []string{"2001:db8::1"}, "2001:db8::1"},
		{"same-twice", ca.Leaf{Name: "192.0.2.1", Addr: netip.MustParseAddr("192.0.2.1")}, []string{"192.0.2.1"}, "192.0.2.1"},
		{"both", ca.Leaf{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1")}, []string{"a.example", "192.0.2.1"}, "a.example"},
		{"too-long-for-cn", ca.Leaf{Name: long}, []string{long}, ""},
		{"long-then-short", ca.Leaf{Name: long, Addr: netip.MustParseAddr("192.0.2.1")}, []string{long, "192.0.2.1"}, "192.0.2.1"},
		{"nothing", ca.Leaf{}, []string{"unknown.invalid"}, "unknown.invalid"},
		{"unspecified", ca.Leaf{Addr: netip.IPv6Unspecified()}, []string{"unknown.invalid"}, "unknown.invalid"},
		{
			"like-first",
			ca.Leaf{Name: "sni.example", Addr: netip.MustParseAddr("192.0.2.9"), Like: &x509.Certificate{
				Subject:     pkix.Name{CommonName: "CN.example"},
				DNSNames:    []string{"*.Example.com", "sni.example.", "cn.example"},
				IPAddresses: []net.IP{net.ParseIP("192.0.2.7")},
			}},
			[]string{"cn.example", "*.example.com", "sni.example", "192.0.2.7", "192.0.2.9"},
			"cn.example",
		},
		{
			"like-with-junk",
			ca.Leaf{Name: "sni.example", Like: &x509.Certificate{
				Subject:  pkix.Name{CommonName: "Router Login"},
				DNSNames: []string{"", "*", "*.", "a..b", ".a", "b c", "f*.example", "*.*.example", "ü.example", "http://x/", "a\x00.b"},
			}},
			[]string{"sni.example"},
			"sni.example",
		},
		{
			"word-for-cn",
			ca.Leaf{Name: "sni.example", Like: &x509.Certificate{Subject: pkix.Name{CommonName: "router"}}},
			[]string{"sni.example"},
			"sni.example",
		},
		{
			"address-for-cn",
			ca.Leaf{Like: &x509.Certificate{Subject: pkix.Name{CommonName: "2001:db8::5"}}},
			[]string{"2001:db8::5"},
			"2001:db8::5",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := issue(t, a, tt.leaf).Leaf
			if got := sans(c); !slices.Equal(got, tt.want) {
				t.Errorf("names are %q, want %q", got, tt.want)
			}
			if c.Subject.CommonName != tt.cn {
				t.Errorf("common name is %q, want %q", c.Subject.CommonName, tt.cn)
			}
			if critical := sanCritical(c); critical != (tt.cn == "") {
				t.Errorf("names critical: %v, with common name %q", critical, tt.cn)
			}
		})
	}
}

func sanCritical(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.String() == "2.5.29.17" {
			return e.Critical
		}
	}
	return false
}

func TestLeafNamesAreBounded(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	like := &x509.Certificate{}
	for i := range 5000 {
		like.DNSNames = append(like.DNSNames, fmt.Sprintf("host-%d.example", i))
	}
	c := issue(t, a, ca.Leaf{Name: "asked.example", Addr: netip.MustParseAddr("192.0.2.1"), Like: like}).Leaf
	if n := len(sans(c)); n != 256 {
		t.Errorf("%d names, want 256", n)
	}
	if c.VerifyHostname("asked.example") != nil || c.VerifyHostname("192.0.2.1") != nil {
		t.Error("what was asked for is not among the names")
	}

	like.DNSNames = nil
	for i := range 250 {
		label := strings.Repeat("x", 60)
		like.DNSNames = append(like.DNSNames, fmt.Sprintf("%s.%s.%s.h%03d", label, label, label, i))
	}
	c = issue(t, a, ca.Leaf{Name: "asked.example", Like: like}).Leaf
	if len(c.Raw) > 16<<10 {
		t.Errorf("the leaf has %d bytes", len(c.Raw))
	}
	if err := c.VerifyHostname("asked.example"); err != nil {
		t.Error(err)
	}
}

func TestOrganisation(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	tests := []struct {
		name string
		orgs []string
		want []string
	}{
		{"copied", []string{"Acme Ltd"}, []string{"Acme Ltd"}},
		{"unicode", []string{"Żabka Ü"}, []string{"Żabka Ü"}},
		{"none", nil, nil},
		{"junk", []string{"", "a\x00b", "\xff", strings.Repeat("x", 65)}, nil},
		{"longest", []string{strings.Repeat("ü", 64)}, []string{strings.Repeat("ü", 64)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			like := &x509.Certificate{Subject: pkix.Name{Organization: tt.orgs}}
			c := issue(t, a, ca.Leaf{Name: "a.example", Like: like}).Leaf
			if !slices.Equal(c.Subject.Organization, tt.want) {
				t.Errorf("organisation is %q, want %q", c.Subject.Organization, tt.want)
			}
		})
	}
}

func TestLeafVerifies(t *testing.T) {
	for _, kind := range []string{"ecdsa-root", "rsa-root"} {
		t.Run(kind, func(t *testing.T) {
			a, err := ca.New(ca.Options{Now: clock(noon), ECDSA: kind == "ecdsa-root"})
			if err != nil {
				t.Fatal(err)
			}
			for _, useRSA := range []bool{false, true} {
				verifyLeaf(t, a, issue(t, a, ca.Leaf{Name: "a.example", RSA: useRSA}), useRSA)
			}
		})
	}
}

func verifyLeaf(t *testing.T, a *ca.Authority, c *tls.Certificate, useRSA bool) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.Root())
	if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: "a.example", Roots: pool, CurrentTime: noon}); err != nil {
		t.Error(err)
	}
	if _, ok := c.PrivateKey.(*rsa.PrivateKey); ok != useRSA {
		t.Errorf("the key is a %T", c.PrivateKey)
	}
	if _, ok := c.PrivateKey.(*ecdsa.PrivateKey); ok == useRSA {
		t.Errorf("the key is a %T", c.PrivateKey)
	}
	if len(c.Certificate) != 2 || !bytes.Equal(c.Certificate[0], c.Leaf.Raw) || !bytes.Equal(c.Certificate[1], a.Root().Raw) {
		t.Error("the chain is not leaf and root")
	}
	if !bytes.Equal(c.Leaf.AuthorityKeyId, a.Root().SubjectKeyId) || len(c.Leaf.AuthorityKeyId) == 0 {
		t.Errorf("authority key identifier is %x", c.Leaf.AuthorityKeyId)
	}
	if life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore); life > 199*24*time.Hour || life < 190*24*time.Hour {
		t.Errorf("valid for %v", life)
	}
	if left := c.Leaf.NotAfter.Sub(noon); left > 197*24*time.Hour {
		t.Errorf("valid %v from now on", left)
	}
	if n := c.Leaf.SerialNumber.BitLen(); n < 90 || n > 128 {
		t.Errorf("serial number of %d bits", n)
	}
	if !slices.Equal(c.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || c.Leaf.IsCA {
		t.Error("the leaf is not for a TLS server only")
	}
}

func TestRoot(t *testing.T) {
	one := newAuthority(t, ca.Options{Now: clock(noon), Host: "Den.lan"})
	two := newAuthority(t, ca.Options{Now: clock(noon), Host: "Den.lan"})
	r := one.Root()
	if bytes.Equal(r.RawSubject, two.Root().RawSubject) {
		t.Errorf("two authorities have one name, %s", r.Subject)
	}
	if !strings.HasPrefix(r.Subject.CommonName, "transom CA den ") {
		t.Errorf("common name is %q", r.Subject.CommonName)
	}
	if !r.IsCA || !r.MaxPathLenZero || r.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(r.SubjectKeyId) != 20 {
		t.Errorf("the root is not a root: %+v", r)
	}
	if !r.NotBefore.Before(noon) || r.NotAfter.Sub(noon) < 3649*24*time.Hour {
		t.Errorf("valid from %v to %v", r.NotBefore, r.NotAfter)
	}
	for _, e := range r.Extensions {
		if id := e.Id.String(); (id == "2.5.29.19" || id == "2.5.29.15") && !e.Critical {
			t.Errorf("extension %s is not critical", id)
		}
	}
	if err := r.CheckSignatureFrom(r); err != nil {
		t.Error(err)
	}
	if i := newAuthority(t, ca.Options{Host: "not a name"}).Info(); !strings.HasPrefix(i.Name, "transom CA ") {
		t.Errorf("name is %q", i.Name)
	}
}

func TestUntrusted(t *testing.T) {
	a := newAuthority(t, ca.Options{Now: clock(noon)})
	like := &x509.Certificate{
		DNSNames:  []string{"other.example"},
		NotBefore: noon.AddDate(-3, 0, 0), NotAfter: noon.AddDate(-1, 0, 0),
	}
	for _, useRSA := range []bool{false, true} {
		l := ca.Leaf{Name: "asked.example", Addr: netip.MustParseAddr("192.0.2.1"), Like: like, RSA: useRSA, Untrusted: true}
		c := issue(t, a, l)
		if !c.Leaf.NotBefore.Equal(like.NotBefore) || !c.Leaf.NotAfter.Equal(like.NotAfter) {
			t.Errorf("valid from %v to %v", c.Leaf.NotBefore, c.Leaf.NotAfter)
		}
		if got := sans(c.Leaf); !slices.Equal(got, []string{"other.example"}) {
			t.Errorf("names are %q: a wrong name must stay wrong", got)
		}
		pool := x509.NewCertPool()
		pool.AddCert(a.Root())
		_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: like.NotAfter})
		if ua := (x509.UnknownAuthorityError{}); !errors.As(err, &ua) {
			t.Errorf("verification says %v", err)
		}
		if again := issue(t, a, l); again != c {
			t.Error("minted twice")
		}
		if useRSA != (c.Leaf.SignatureAlgorithm == x509.SHA256WithRSA) {
			t.Errorf("signed with %v", c.Leaf.SignatureAlgorithm)
		}
	}
	renewed := *like
	renewed.NotAfter = noon.AddDate(1, 0, 0)
	c := issue(t, a, ca.Leaf{Like: &renewed, Untrusted: true})
	if !c.Leaf.NotAfter.Equal(renewed.NotAfter) {
		t.Error("another validity is not another leaf")
	}
	c = issue(t, a, ca.Leaf{Name: "asked.example", Untrusted: true})
	if got := sans(c.Leaf); !slices.Equal(got, []string{"asked.example"}) || c.Leaf.NotAfter.Before(noon) {
		t.Errorf("without a model: %q until %v", got, c.Leaf.NotAfter)
	}
}

func TestCacheHit(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	l := ca.Leaf{Name: "A.example.", Addr: netip.MustParseAddr("192.0.2.1")}
	first := issue(t, a, l)
	if issue(t, a, ca.Leaf{Name: "a.EXAMPLE", Addr: netip.MustParseAddr("::ffff:192.0.2.1")}) != first {
		t.Error("the same names are another leaf")
	}
	if issue(t, a, ca.Leaf{Name: "a.example"}) == first {
		t.Error("other names are the same leaf")
	}
	if issue(t, a, ca.Leaf{Name: l.Name, Addr: l.Addr, RSA: true}) == first {
		t.Error("another key is the same leaf")
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Issue(ctx, l); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a hit", n)
	}
}

func TestCacheForgetsTheOldest(t *testing.T) {
	a := newAuthority(t, ca.Options{Leaves: 2})
	one := issue(t, a, ca.Leaf{Name: "one.example"})
	two := issue(t, a, ca.Leaf{Name: "two.example"})
	if issue(t, a, ca.Leaf{Name: "one.example"}) != one {
		t.Fatal("forgotten too early")
	}
	issue(t, a, ca.Leaf{Name: "three.example"})
	if issue(t, a, ca.Leaf{Name: "one.example"}) != one {
		t.Error("the one just used was forgotten")
	}
	if issue(t, a, ca.Leaf{Name: "two.example"}) == two {
		t.Error("the oldest was kept")
	}
}

func TestLeafIsRenewed(t *testing.T) {
	var now atomic.Pointer[time.Time]
	set := func(t time.Time) { now.Store(&t) }
	set(noon)
	a := newAuthority(t, ca.Options{Now: func() time.Time { return *now.Load() }})
	first := issue(t, a, ca.Leaf{Name: "a.example"})
	set(noon.AddDate(0, 0, 60))
	if issue(t, a, ca.Leaf{Name: "a.example"}) != first {
		t.Error("renewed after 60 days")
	}
	set(noon.AddDate(0, 0, 190))
	second := issue(t, a, ca.Leaf{Name: "a.example"})
	if second == first || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed in time")
	}
	set(noon)
	if third := issue(t, a, ca.Leaf{Name: "a.example"}); third.Leaf.NotBefore.After(noon) {
		t.Error("a leaf from the future is handed out after the clock was set back")
	}
	end := a.Root().NotAfter
	set(end.AddDate(0, 0, -10))
	if last := issue(t, a, ca.Leaf{Name: "a.example"}); last.Leaf.NotAfter.After(end) {
		t.Error("the leaf outlives the authority")
	}
	set(end.Add(time.Hour))
	if _, err := a.Issue(t.Context(), ca.Leaf{Name: "a.example"}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("an expired authority says %v", err)
	}
}

func TestMintedOnce(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	for _, useRSA := range []bool{false, true} {
		var wg sync.WaitGroup
		got := make([]*tls.Certificate, 100)
		for i := range got {
			wg.Go(func() {
				got[i], _ = a.Issue(context.Background(), ca.Leaf{Name: "a.example", RSA: useRSA})
			})
		}
		wg.Wait()
		for _, c := range got {
			if c == nil || c != got[0] {
				t.Fatal("callers got different leaves")
			}
		}
	}
}

// gate returns a clock that stops at its nth reading until release is called.
func gate(n int64) (now func() time.Time, release func()) {
	var calls atomic.Int64
	open := make(chan struct{})
	return func() time.Time {
		if calls.Add(1) == n {
			<-open
		}
		return noon
	}, func() { close(open) }
}

var errGone = errors.New("the client is gone")

func TestWaitersMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Readings: the authority's making, the first caller's two.
		now, release := gate(3)
		a := newAuthority(t, ca.Options{Now: now})
		l := ca.Leaf{Name: "a.example"}
		var first, last *tls.Certificate
		go func() { first, _ = a.Issue(context.Background(), l) }()
		synctest.Wait()
		go func() { last, _ = a.Issue(context.Background(), l) }()
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errGone)
		if _, err := a.Issue(ctx, l); !errors.Is(err, errGone) {
			t.Errorf("who left got %v", err)
		}
		release()
		synctest.Wait()
		if first == nil || first != last {
			t.Error("who stayed did not get the one leaf")
		}
	})
}

func TestMinterMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The fourth reading is for the throwaway authority that the first
		// caller makes and everybody else waits for.
		now, release := gate(4)
		a := newAuthority(t, ca.Options{Now: now})
		var first, last *tls.Certificate
		var left error
		go func() { first, _ = a.Issue(context.Background(), ca.Leaf{Name: "a.example", Untrusted: true}) }()
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() { _, left = a.Issue(ctx, ca.Leaf{Name: "b.example", Untrusted: true}) }()
		synctest.Wait()
		go func() { last, _ = a.Issue(context.Background(), ca.Leaf{Name: "b.example", Untrusted: true}) }()
		synctest.Wait()
		cancel(errGone)
		synctest.Wait()
		if !errors.Is(left, errGone) {
			t.Errorf("who left got %v", left)
		}
		release()
		synctest.Wait()
		if first == nil || last == nil || last.Leaf.VerifyHostname("b.example") != nil {
			t.Error("who stayed got nothing after the one before went away")
		}
	})
}

func TestManyNamesAtOnce(t *testing.T) {
	a := newAuthority(t, ca.Options{Leaves: 8})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 30 {
				name := fmt.Sprintf("h%d.example", (g+i)%12)
				c, err := a.Issue(t.Context(), ca.Leaf{Name: name})
				if err != nil || c.Leaf.VerifyHostname(name) != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenSSLVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	testnet.Need(t, err == nil, "the program openssl")
	for _, useECDSA := range []bool{false, true} {
		a, err := ca.New(ca.Options{ECDSA: useECDSA})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		root := export(t, a, ca.PEM)
		rootFile := filepath.Join(dir, root.Name)
		write(t, rootFile, root.Data, 0o600)
		long := strings.Repeat("a", 60) + ".example.com"
		for i, l := range []ca.Leaf{
			{Name: "a.example"}, {Name: "a.example", RSA: true}, {Name: long}, {Addr: netip.MustParseAddr("2001:db8::1")},
		} {
			c := issue(t, a, l)
			file := filepath.Join(dir, fmt.Sprintf("leaf%d.pem", i))
			write(t, file, pemOf("CERTIFICATE", c.Certificate[0]), 0o600)
			args := []string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", rootFile}
			if l.Name != "" {
				args = append(args, "-verify_hostname", l.Name)
			} else {
				args = append(args, "-verify_ip", l.Addr.String())
			}
			if out, err := exec.Command(openssl, append(args, file)...).CombinedOutput(); err != nil {
				t.Errorf("openssl verify %+v: %v\n%s", l, err, out)
			}
		}
	}
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func FuzzLeafNames(f *testing.F) {
	for _, s := range []string{
		"", "a.example", "*.a.example", "192.0.2.1", "[::1]", "fe80::1%x", "a..b", ".", "xn--", "\x00", "ü.example",
		"256.1.1.1", "01.2.3.4", strings.Repeat("a.", 127), strings.Repeat("a", 64), "-.-", "_", "*.*", "1", "a.1", "::",
	} {
		f.Add(s, s, "Acme "+s)
	}
	a := newAuthority(f, ca.Options{Leaves: 16})
	f.Fuzz(func(t *testing.T, sni, san, org string) {
		like := &x509.Certificate{
			Subject:  pkix.Name{CommonName: san, Organization: []string{org}},
			DNSNames: []string{san, sni}, IPAddresses: []net.IP{net.IP(san)},
		}
		for _, l := range []ca.Leaf{{Name: sni}, {Name: sni, Like: like}, {Name: sni, Like: like, Untrusted: true}} {
			c, err := a.Issue(t.Context(), l)
			if err != nil {
				t.Fatalf("%q %q %q: %v", sni, san, org, err)
			}
			names := sans(c.Leaf)
			if len(names) == 0 {
				t.Fatal("a leaf without a name")
			}
			slices.Sort(names)
			if len(slices.Compact(names)) != len(sans(c.Leaf)) {
				t.Fatalf("names repeat: %q", names)
			}
			if again := issue(t, a, l); again != c {
				t.Fatal("not cached")
			}
		}
	})
}

func BenchmarkMint(b *testing.B) {
	for _, root := range []string{"rsa-root", "ecdsa-root"} {
		b.Run(root, func(b *testing.B) {
			a, err := ca.New(ca.Options{ECDSA: root == "ecdsa-root"})
			if err != nil {
				b.Fatal(err)
			}
			issue(b, a, ca.Leaf{Name: "first.example"}) // the leaves' key
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				issue(b, a, ca.Leaf{Name: fmt.Sprintf("h%d.example", i)})
			}
		})
	}
}

func BenchmarkCached(b *testing.B) {
	like := func(n int) *x509.Certificate {
		c := &x509.Certificate{}
		for i := range n {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("host-%d.example.com", i))
		}
		return c
	}
	for _, bm := range []struct {
		name string
		leaf ca.Leaf
	}{
		{"sni", ca.Leaf{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1")}},
		{"like-3", ca.Leaf{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1"), Like: like(3)}},
		{"like-100", ca.Leaf{Name: "a.example", Addr: netip.MustParseAddr("192.0.2.1"), Like: like(100)}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			a := newAuthority(b, ca.Options{})
			issue(b, a, bm.leaf)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := a.Issue(context.Background(), bm.leaf); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
