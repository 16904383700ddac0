package sandbox

import (
	"path/filepath"
)

// SystemFiles are the files of the system that a proxy reads at work, to be among
// Options.Read: how names are resolved, roots of trust, time zones. u is whom it
// will run as.
//
// Programs that write resolv.conf write a new one and rename it, and a file rule
// holds for the file that was there. So directories are allowed where that can be:
// all of /etc, unless u is root, who may read its secrets, and the directory that
// resolv.conf is a link into.
func SystemFiles(u User) []string {
	var files []string
	if u.UID != 0 {
		files = append(files, "/etc")
	} else {
		files = append(files, etcFiles[:]...)
	}
	for _, name := range etcFiles {
		if to, err := filepath.EvalSymlinks(name); err == nil && filepath.Dir(to) != "/etc" {
			files = append(files, filepath.Dir(to))
		}
	}
	return append(files, elsewhere[:]...)
}

// etcFiles are read by packages net, crypto/x509, time and mime.
var etcFiles = [...]string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols", "/etc/mdns.allow",
	"/etc/localtime", "/etc/mime.types",
}

// elsewhere is outside of /etc, or a directory in it.
var elsewhere = [...]string{
	"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted", "/etc/ca-certificates/extracted",
	"/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/local/share/certs", "/usr/share/ca-certs", "/usr/share/pki/ca-trust-source",
	"/usr/share/zoneinfo", "/usr/share/mime",
	"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	"/dev/null", "/dev/urandom", "/proc/sys/net/core/somaxconn",
}
