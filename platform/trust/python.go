package trust

import (
	"path/filepath"
	"slices"
	"strings"
)

// A pythonBundle is a bundle that a package of Python's brings, below a directory of
// packages, and the variable that has the package take another.
type pythonBundle struct{ path, name, variable string }

// pythonBundles are in the order in which a path is compared with them.
var pythonBundles = [...]pythonBundle{
	{"pip/_vendor/certifi/cacert.pem", "pip", "PIP_CERT"},
	{"certifi/cacert.pem", "python: certifi", "REQUESTS_CA_BUNDLE"},
	{"botocore/cacert.pem", "python: botocore", "AWS_CA_BUNDLE"},
	{"httplib2/cacerts.txt", "python: httplib2", "HTTPLIB2_CA_CERTS"},
	{"grpc/_cython/_credentials/roots.pem", "python: grpc", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"},
}

// elsewherePython are bundles of programs that bring a Python with them.
var elsewherePython = [...]string{
	"/usr/local/aws-cli/*/*/dist/awscli/botocore/cacert.pem",
	"/usr/lib/google-cloud-sdk/lib/third_party/certifi/cacert.pem",
	"/usr/share/google-cloud-sdk/lib/third_party/certifi/cacert.pem",
	"~/google-cloud-sdk/lib/third_party/certifi/cacert.pem",
	"/opt/az/lib/python*/site-packages/certifi/cacert.pem",
}

// maxBundles bounds what is laid over for Python: each is some 300 KiB.
const maxBundles = 128

// pythons covers the bundles of the Pythons that the person can start.
func (o *overlay) pythons() {
	found := o.pythonFiles()
	if len(found) > maxBundles {
		o.miss("Python packages: %d bundles of certificates found, %d covered; the variables hold for all", len(found), maxBundles)
		found = found[:maxBundles]
	}
	for _, path := range found {
		o.bundle(path)
	}
}

// pythonFiles finds bundles that Python packages brought, each once.
func (m *Machine) pythonFiles() []string {
	var found []string
	add := func(path string) {
		if real := m.file(path); real != "" && !slices.Contains(found, real) {
			found = append(found, real)
		}
	}
	for _, dir := range m.packages() {
		for _, b := range pythonBundles {
			add(filepath.Join(dir, b.path))
		}
	}
	for _, prefix := range m.pythonPrefixes() { // conda's OpenSSL
		add(filepath.Join(prefix, "ssl/cert.pem"))
		add(filepath.Join(prefix, "ssl/cacert.pem"))
	}
	for _, pattern := range elsewherePython {
		if rest, own := strings.CutPrefix(pattern, "~/"); own {
			pattern = m.below(rest)
		}
		for _, path := range m.glob(pattern) {
			add(path)
		}
	}
	return found
}

// packages are directories of Python packages.
func (m *Machine) packages() []string {
	var dirs []string
	for _, dir := range filepath.SplitList(m.env("PYTHONPATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, prefix := range m.pythonPrefixes() {
		for _, below := range []string{
			"lib/python*/site-packages", "lib64/python*/site-packages", "lib/python*/dist-packages", "local/lib/python*/dist-packages",
		} {
			dirs = append(dirs, m.glob(filepath.Join(prefix, below))...)
		}
	}
	return dirs
}

// pythonPrefixes are where Pythons are installed: the active environment, those that
// PATH finds and what they are links to, the person's own packages, and those of
// tools that keep many.
func (m *Machine) pythonPrefixes() []string {
	var prefixes []string
	add := func(prefix string) {
		if filepath.IsAbs(prefix) && !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	add(m.env("VIRTUAL_ENV"))
	add(m.env("CONDA_PREFIX"))
	for _, dir := range m.path() {
		for _, name := range []string{"python3", "python"} {
			if path := m.programIn([]string{dir}, name); path != "" {
				add(filepath.Dir(dir))
				add(filepath.Dir(filepath.Dir(m.real(path))))
			}
		}
	}
	pyenv := m.env("PYENV_ROOT")
	if pyenv == "" {
		pyenv = m.below(".pyenv")
	}
	patterns := []string{filepath.Join(pyenv, "versions/*")}
	for _, below := range []string{".local", ".local/share/pipx/venvs/*", ".local/share/uv/tools/*", ".local/share/uv/python/*", ".local/pipx/venvs/*"} {
		patterns = append(patterns, m.below(below))
	}
	for _, pattern := range patterns {
		if !filepath.IsAbs(pattern) {
			continue
		}
		for _, prefix := range m.glob(pattern) {
			add(prefix)
		}
	}
	return prefixes
}
