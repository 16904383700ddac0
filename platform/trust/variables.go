package trust

import "path/filepath"

// replacing are variables that name a file with all roots, in place of those that a
// program would trust otherwise.
var replacing = [...]string{
	"SSL_CERT_FILE",      // OpenSSL, Go, Rust, Ruby, Python's ssl, .NET
	"CURL_CA_BUNDLE",     // curl, Python requests
	"REQUESTS_CA_BUNDLE", // Python requests
	"GIT_SSL_CAINFO",
	"PIP_CERT",
	"AWS_CA_BUNDLE",
	"CARGO_HTTP_CAINFO",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	"NIX_SSL_CERT_FILE",
	"HTTPLIB2_CA_CERTS",
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	"PERL_LWP_SSL_CA_FILE",
	"BUNDLE_SSL_CA_CERT",      // Ruby's bundler
	"JULIA_SSL_CA_ROOTS_PATH", // Julia brings its own
	"HEX_CACERTS_PATH",        // Elixir's hex
	"SYSTEM_CERTIFICATE_PATH", // Haskell's x509-system
}

// adding are variables that name a file with roots beside those that a program trusts
// anyhow.
var adding = [...]string{
	"NODE_EXTRA_CA_CERTS", // Node, Bun, and what is made with Electron
	"DENO_CERT",
}

// switches have a program ask the system.
var switches = [...]struct{ name, value string }{
	{"NODE_USE_SYSTEM_CA", "1"}, // Node 22.19 and 24.6, and newer
	{"DENO_TLS_CA_STORE", "system,mozilla"},
	{"UV_SYSTEM_CERTS", "1"},
}

// directories are variables that name directories of OpenSSL's, with colons between.
var directories = [...]string{"SSL_CERT_DIR"}

// variables sets those that nobody has set. A file that is named by one that is set
// gets ours too, where it is: the variable stays as it is.
func (o *overlay) variables() {
	all := o.everything()
	for _, name := range replacing {
		o.name(name, all)
	}
	for _, name := range adding {
		o.name(name, o.ours())
	}
	for _, s := range switches {
		if o.Machine.env(s.name) == "" {
			o.env[s.name] = s.value
		}
	}
	for _, name := range directories {
		for _, dir := range filepath.SplitList(o.Machine.env(name)) {
			if filepath.IsAbs(dir) && !o.directory(dir) {
				o.miss("what goes by %s=%s: no directory that openssl rehash made", name, dir)
			}
		}
	}
}

// name sets a variable, or else covers the file that it names.
func (o *overlay) name(name, value string) {
	set := o.Machine.env(name)
	switch {
	case set == "":
		o.env[name] = value
	case filepath.IsAbs(set) && (o.bundle(set) || o.directory(set)):
	default:
		// Relative to where each program happens to be, or not there:
		// whoever goes by it trusts nobody, as without us.
		o.miss("what goes by %s=%s: no file or directory of certificates by that absolute path", name, set)
	}
}

// everything is a file with all the system's roots and ours.
func (o *overlay) everything() string {
	for _, path := range bundles {
		if o.bundle(path) {
			return path
		}
	}
	// A machine without roots: who is content with that has none but ours.
	return o.ours()
}
