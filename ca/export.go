package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// A Format is a form that the authority's certificate can be exported in. None
// has the private key in it.
type Format string

const (
	PEM          Format = "pem"
	DER          Format = "der"
	PKCS12       Format = "p12"
	PKCS12Legacy Format = "p12-legacy"
	MobileConfig Format = "mobileconfig"
	Android      Format = "android"
	Hashed       Format = "hashed"
)

// Password is the password of PKCS#12 exports. It protects nothing, as there is
// no secret inside; many programs insist on one, and this is Java's own default.
const Password = pkcs12.DefaultPassword

// formats says of each format what extension and media type it has, and what
// it is for.
var formats = []struct {
	format         Format
	ext, mime, use string
}{
	{PEM, ".pem", "application/x-x509-ca-cert", "text form: Linux, macOS, Firefox, most programs"},
	{DER, ".cer", "application/x-x509-ca-cert", "binary form: Windows, Android"},
	{PKCS12, ".p12", "application/x-pkcs12", "trust store for Java 12 and newer, password " + Password},
	{PKCS12Legacy, ".p12", "application/x-pkcs12", "the same for older programs, password " + Password},
	{MobileConfig, ".mobileconfig", "application/x-apple-aspen-config", "configuration profile: iPhone, iPad, Mac"},
	{Android, ".0", "application/octet-stream", "text form named as Android's system store wants it"},
	{Hashed, ".0", "application/octet-stream", "text form named as OpenSSL's certificate directories want it"},
}

// Formats returns every format with a few words on what it is for.
func Formats() (list []Format, uses map[Format]string) {
	uses = make(map[Format]string, len(formats))
	for _, f := range formats {
		list = append(list, f.format)
		uses[f.format] = f.use
	}
	return list, uses
}

// ParseFormat returns the format called name; "cer" and "crt" are DER.
func ParseFormat(name string) (Format, error) {
	switch name = strings.ToLower(name); name {
	case "cer", "crt":
		return DER, nil
	}
	list, _ := Formats()
	if !slices.Contains(list, Format(name)) {
		var names []string
		for _, f := range list {
			names = append(names, string(f))
		}
		return "", fmt.Errorf("certificate format %q is not known: use one of %s", name, strings.Join(names, ", "))
	}
	return Format(name), nil
}

// A File is a certificate as a device gets it.
type File struct {
	Name string // what it is to be called; programs go by the extension
	Type string // the media type
	Data []byte
}

// Export returns the authority's certificate in format f. It is the same file
// each time, but for PKCS#12, which has random salts.
func (a *Authority) Export(f Format) (File, error) {
	cert := a.root.cert
	for _, d := range formats {
		if d.format != f {
			continue
		}
		file := File{Name: a.base + d.ext, Type: d.mime}
		var err error
		switch f {
		case PEM:
			file.Data = certPEM(cert.Raw)
		case DER:
			file.Data = cert.Raw
		case PKCS12:
			file.Data, err = trustStore(pkcs12.Modern2023, a.base, cert)
		case PKCS12Legacy:
			file.Name = a.base + "-legacy" + d.ext // who needs one often tries both
			file.Data, err = trustStore(pkcs12.LegacyDES, a.base, cert)
		case MobileConfig:
			file.Data = mobileConfig(cert)
		case Android:
			file.Name, file.Data = subjectHashOld(cert)+d.ext, certPEM(cert.Raw)
		case Hashed:
			var hash string
			hash, err = SubjectHash(cert)
			file.Name, file.Data = hash+d.ext, certPEM(cert.Raw)
		}
		if err != nil {
			return File{}, fmt.Errorf("export the authority's certificate as %s: %w", f, err)
		}
		return file, nil
	}
	return File{}, errors.New("export the authority's certificate: unknown format " + string(f))
}

func trustStore(e *pkcs12.Encoder, alias string, cert *x509.Certificate) ([]byte, error) {
	return e.EncodeTrustStoreEntries([]pkcs12.TrustStoreEntry{
		{Cert: cert, FriendlyName: alias},
	}, Password)
}
