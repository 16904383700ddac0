package trust

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
)

// chromiums are programs made of Chromium, with the directory that each reads its
// administrators' policies from.
var chromiums = [...]struct{ program, policies string }{
	{"chromium", "/etc/chromium/policies/managed"},
	{"chromium-browser", "/etc/chromium/policies/managed"},
	{"chromium-browser", "/etc/chromium-browser/policies/managed"},
	{"google-chrome", "/etc/opt/chrome/policies/managed"},
	{"google-chrome-stable", "/etc/opt/chrome/policies/managed"},
	{"google-chrome-beta", "/etc/opt/chrome/policies/managed"},
	{"google-chrome-unstable", "/etc/opt/chrome/policies/managed"},
	{"brave-browser", "/etc/brave/policies/managed"},
	{"microsoft-edge", "/etc/opt/edge/policies/managed"},
	{"vivaldi", "/etc/opt/vivaldi/policies/managed"},
}

// firefoxes are programs made of Firefox, with the file that each reads its
// administrators' policies from.
var firefoxes = [...]struct{ program, policies string }{
	{"firefox", firefoxPolicies},
	{"firefox-esr", firefoxPolicies},
	{"firefox-developer-edition", firefoxPolicies},
	{"firefox-nightly", firefoxPolicies},
	{"librewolf", firefoxPolicies},
	{"thunderbird", "/etc/thunderbird/policies/policies.json"},
}

const firefoxPolicies = "/etc/firefox/policies/policies.json"

// browsers covers those that don't ask the system.
func (o *overlay) browsers() {
	for _, c := range chromiums {
		if program := o.program(c.program); program != "" && !o.snapped(program) {
			o.chromium(c.policies)
		}
	}
	for _, f := range firefoxes {
		if program := o.program(f.program); program != "" && !o.snapped(program) {
			o.firefox(program, f.policies)
		}
	}
}

// snapped reports whether a program is a snap: those are started by a program that
// has to become root, which it can't inside. A script of the package manager's
// that hands over to the snap is no better.
func (o *overlay) snapped(program string) bool {
	real := o.real(program)
	if strings.HasPrefix(program, "/snap/") || strings.HasPrefix(real, "/snap/") || filepath.Base(real) == "snap" || strings.Contains(string(head(o.read(real))), "/snap/bin/") {
		o.miss("%s: a snap brings its own file system", program)
		return true
	}
	return false
}

// head is as much as a script of a package needs.
func head(data []byte) []byte {
	if !strings.HasPrefix(string(data[:min(2, len(data))]), "#!") {
		return nil
	}
	return data[:min(4096, len(data))]
}

// chromium has a policy name our certificate: CACertificates, a list of DER in
// base64. If a file of the administrator's has the policy, ours joins the list in it,
// since of two files with one policy only one holds.
func (o *overlay) chromium(dir string) {
	ours := base64DER(o.cert)
	found := false
	for _, path := range o.glob(filepath.Join(dir, "*.json")) {
		var policies map[string]json.RawMessage
		if json.Unmarshal(o.read(path), &policies) != nil || policies["CACertificates"] == nil {
			continue
		}
		var list []string
		if json.Unmarshal(policies["CACertificates"], &list) != nil {
			continue
		}
		found = true
		if !slices.Contains(list, ours) {
			policies["CACertificates"] = object(append(list, ours))
			o.files[o.file(path)] = File{Path: o.file(path), Data: object(policies)}
		}
	}
	if !found {
		o.make(filepath.Join(o.resolved(dir), Label(o.cert)+".json"), object(map[string][]string{"CACertificates": {ours}}))
	}
}

// base64DER is a certificate as Chromium's policies have it.
func base64DER(cert *x509.Certificate) string { return base64.StdEncoding.EncodeToString(cert.Raw) }

// resolved is a directory that may not be there, less the symbolic links on the
// way to it.
func (m *Machine) resolved(dir string) string {
	if real := m.real(dir); real != "" {
		return real
	}
	if dir == "/" {
		return dir
	}
	return filepath.Join(m.resolved(filepath.Dir(dir)), filepath.Base(dir))
}

// firefox has a policy install our certificate. Of the files with policies Firefox
// reads one, so what another says is said in ours. Firefox puts what it installs into
// the profile's database, for good: a copy is laid over each that there is.
func (o *overlay) firefox(program, path string) {
	path = o.resolved(path)
	if _, done := o.files[path]; done {
		return
	}
	policies := o.firefoxPolicies(path, program)
	inner := member(policies, "policies")
	certificates := member(inner, "Certificates")
	var install []string
	if raw, err := json.Marshal(certificates["Install"]); err == nil {
		_ = json.Unmarshal(raw, &install) // what is no list of names installs nothing
	}
	certificates["Install"] = append(install, o.ours())
	o.files[path] = File{Path: path, Data: object(policies), New: o.file(path) == ""}
	for _, dir := range o.found(profiles[:]) {
		o.profile(dir)
	}
}

// firefoxPolicies reads the policies that hold now.
func (o *overlay) firefoxPolicies(path, program string) map[string]any {
	installed := filepath.Join(filepath.Dir(o.real(program)), "distribution/policies.json")
	for _, p := range []string{path, installed} {
		policies := map[string]any{}
		if data := o.read(p); data != nil && json.Unmarshal(data, &policies) == nil {
			return policies
		}
	}
	return map[string]any{}
}

// profile lays a copy over a profile's database. One that was not closed has a journal,
// which belongs to the database and not to the copy.
func (o *overlay) profile(dir string) {
	db := filepath.Join(dir, "cert9.db")
	if o.journal(db) != "" {
		o.miss("Firefox with %s: in use now; its database keeps what Firefox installs into it", dir)
		return
	}
	if data := o.read(db); data != nil {
		o.files[db] = File{Path: db, Data: data, Private: true}
	}
}

// member returns an object's member that is an object, made if need be.
func member(object map[string]any, name string) map[string]any {
	inner, ok := object[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[name] = inner
	}
	return inner
}

// object writes JSON of strings, lists and maps, which can't fail.
func object(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("trust: internal error: " + err.Error())
	}
	return append(data, '\n')
}
