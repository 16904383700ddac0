// Package redact takes secrets out of flows that are written for others: what is known
// to be one by its name, and what rules say. It changes copies; what is recorded stays.
//
// What can't be looked through, such as a body whose coding is not known, is left out,
// and the flow says so in its notes.
package redact

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Secrets is the rule for what is a secret by its name. Each other one includes it.
const Secrets = "secrets"

// Mark stands where a secret was.
const Mark = "REDACTED"

// Rules say what is taken out.
type Rules struct {
	header map[string]bool // in lower case
	query  map[string]bool // folded, as json and form
	form   map[string]bool
	json   map[string]bool // names, wherever they are
	paths  [][]string      // folded; * is any name
	body   []*regexp.Regexp
}

// Headers whose value is one secret, or, of cookies, has one for each name.
var secretHeaders = [...]string{
	"authorization", "proxy-authorization", "cookie", "set-cookie", "set-cookie2", "x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token",
	"x-csrf-token", "x-xsrf-token", "x-amz-security-token", "x-goog-api-key", "x-vault-token", "private-token", "ocp-apim-subscription-key",
	"x-forwarded-access-token", "cf-access-client-secret", "cf-access-jwt-assertion", "x-goog-iap-jwt-assertion", "x-ms-token-aad-access-token",
	"dpop", "x-auth", "x-amzn-oidc-data",
}

// Names of parameters and members, without - and _.
var secretNames = [...]string{
	"accesstoken", "apikey", "apisecret", "auth", "authtoken", "authorization", "bearer", "bearertoken", "clientsecret", "cookie", "credential", "credentials",
	"codeverifier", "csrftoken", "cvc", "cvv", "devicecode", "idtoken", "idtokenhint", "jwt", "key", "mfacode", "oauthverifier", "otp", "pass", "passcode", "passphrase", "passwd",
	"password", "pin", "privatekey", "pwd", "refreshtoken", "secret", "secretkey",
	"secretaccesskey", "securityanswer", "session", "sessionid", "sessiontoken", "sid", "sig", "signature", "token", "xamzcredential", "xamzsecuritytoken", "xamzsignature",
	"xapikey", "xgoogcredential", "xgoogsignature", "xsrftoken",
}

// secretEndings are what names of secrets end with, folded: new_password, AWSAccessKeyId,
// X-Shopify-Access-Token.
var secretEndings = [...]string{
	"accesskey", "accesskeyid", "apikey", "assertion", "authkey", "authorization", "credential", "credentials", "encryptionkey", "jwt", "passphrase", "passwd", "privatekey",
	"samlresponse", "secret", "secretkey", "sessid", "sessionid", "signature", "signature256", "signingkey", "token",
}

// plainEndings are of names that would be secrets by secretEndings: where lists go on, and
// what a response allows.
var plainEndings = [...]string{"continuationtoken", "cursortoken", "nexttoken", "pagetoken", "synctoken", "accesscontrolallowcredentials"}

// tellsSecret reports whether a folded name is a secret's by what it has in it.
func tellsSecret(name []byte) bool {
	if bytes.Contains(name, []byte("password")) {
		return true
	}
	ends := func(with string) bool { return bytes.HasSuffix(name, []byte(with)) }
	return slices.ContainsFunc(secretEndings[:], ends) && !slices.ContainsFunc(plainEndings[:], ends)
}

// notInJSON are names that are common there, and no secrets.
var notInJSON = map[string]bool{"key": true, "sid": true, "session": true, "auth": true, "pin": true, "sig": true}

// Parse reads rules:
//
//	secrets        what is a secret by its name
//	header:NAME    the values of header and trailer fields
//	query:NAME     a parameter of URLs
//	form:NAME      a field of forms
//	json:NAME      a member of JSON, wherever it is; json:a.*.b by its path
//	body:REGEX     what a regular expression of Go's finds in bodies and messages; if
//	               it has a group, what the first one finds
func Parse(rules []string) (*Rules, error) {
	r := &Rules{header: map[string]bool{}, query: map[string]bool{}, form: map[string]bool{}, json: map[string]bool{}}
	for _, h := range secretHeaders {
		r.header[h] = true
	}
	for _, n := range secretNames {
		r.query[n], r.form[n], r.json[n] = true, true, !notInJSON[n]
	}
	for _, text := range rules {
		if err := r.add(text); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
	}
	return r, nil
}

func (r *Rules) add(text string) error {
	kind, what, _ := strings.Cut(text, ":")
	if text == Secrets {
		return nil
	}
	if what == "" {
		return fmt.Errorf("want %s, header:NAME, query:NAME, form:NAME, json:PATH or body:REGEX", Secrets)
	}
	switch kind {
	case "header":
		r.header[strings.ToLower(what)] = true
	case "query":
		r.query[fold(what)] = true
	case "form":
		r.form[fold(what)] = true
	case "json":
		path := strings.Split(strings.TrimPrefix(strings.ReplaceAll(what, "[*]", ""), "$."), ".")
		if len(path) == 1 && !strings.HasPrefix(what, "$.") {
			r.json[fold(what)] = true
			return nil
		}
		for i := range path {
			path[i] = fold(path[i])
		}
		r.paths = append(r.paths, path)
	case "body":
		re, err := regexp.Compile(what)
		if err != nil {
			return err
		}
		r.body = append(r.body, re)
	default:
		return fmt.Errorf("there is no rule %q: want %s, header:NAME, query:NAME, form:NAME, json:PATH or body:REGEX", kind, Secrets)
	}
	return nil
}

// secretField reports whether the value of a field is a secret. name is in lower case.
func (r *Rules) secretField(name string) bool {
	return r.header[name] || tellsSecret(appendFolded(nil, name))
}

// fold makes names the same that people write in different ways.
func fold(name string) string { return string(appendFolded(nil, name)) }

func appendFolded[T string | []byte](b []byte, name T) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-' || c == '_':
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		default:
			b = append(b, c)
		}
	}
	return b
}

// named reports whether a parameter or a field of a form is among the secret ones, or one
// of the names that it has, as in user[password].
func named(secret map[string]bool, name string) bool {
	is := func(name string) bool {
		folded := appendFolded(nil, name)
		return secret[string(folded)] || tellsSecret(folded)
	}
	if is(name) {
		return true
	}
	if !strings.HasSuffix(name, "]") {
		return false
	}
	for part := range strings.FieldsFuncSeq(name, func(c rune) bool { return c == '[' || c == ']' }) {
		if is(part) {
			return true
		}
	}
	return false
}

// secretPath reports whether the member of JSON at path is to be redacted.
func (r *Rules) secretPath(path []string) bool {
	for _, p := range r.paths {
		if len(p) != len(path) {
			continue
		}
		same := true
		for i := range p {
			same = same && (p[i] == "*" || p[i] == path[i])
		}
		if same {
			return true
		}
	}
	return false
}
