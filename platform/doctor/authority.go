package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"transom/ca"
	"transom/platform/trust"
)

// An Authority is what is known of the authority, and of who trusts it.
type Authority struct {
	Dir     string      // "" if nobody has looked
	Trouble *ca.Trouble // what is wrong with it
	Missing bool        // there is none yet
	Name    string

	System    trust.State // of the system's store
	SystemErr error
	Stale     []string // others of transom's that the system trusts
	Doubters  []string // programs that don't trust it
}

// LookAtAuthority finds out about the authority in a directory, on a machine that may
// trust it. It reads what who calls may read, and makes nothing.
func LookAtAuthority(ctx context.Context, dir string, t *trust.Machine) (a Authority) {
	a.Dir = dir
	authority, trouble := ca.Look(dir, ca.Options{})
	if trouble != nil {
		a.Trouble = trouble
		return a
	}
	if authority == nil {
		a.Missing = true
		return a
	}
	cert := authority.Root()
	a.Name = authority.Info().Name
	for _, s := range t.Stores(cert) {
		if s.Kind() == "system" || s.Kind() == "keychain" {
			a.System, a.SystemErr = s.Check(ctx)
			break
		}
	}
	a.Stale = t.Stale(cert)
	for _, p := range t.Programs(ctx, cert, strings.TrimSuffix(authority.Info().Path, ".pem")+"-cert.pem") {
		if !p.Trusts && !slices.Contains(a.Doubters, p.Name) {
			a.Doubters = append(a.Doubters, p.Name)
		}
	}
	return a
}

// authority is about the files of the key and the certificate.
func authority(m *Machine) []Finding {
	a := &m.Authority
	switch {
	case a.Dir == "":
		return nil
	case a.Missing:
		return []Finding{{ID: "authority", Level: Note, What: "there is no authority in " + a.Dir + " yet", Why: "the first start makes one, which devices then have to trust"}}
	case a.Trouble == nil:
		return ok("authority", "the authority in "+a.Dir+" can sign")
	}
	t := a.Trouble
	f := Finding{ID: "authority", Level: Fault, What: t.Err.Error()}
	key, cert := ShellWord(t.Key), ShellWord(t.Cert)
	switch t.Fault {
	case ca.Exposed:
		f.Why, f.Mend = "who has the key can read the traffic of every device that trusts it", "chmod 600 "+key
	case ca.Replaceable:
		f.Mend = "chmod go-w " + ShellWord(a.Dir)
	case ca.Unreadable:
		f.Why, f.Mend = "it is somebody else's, or root's", "sudo chown \"$(id -u)\" "+key
		if m.Root {
			f.Mend = "" // a security policy's
		}
	case ca.Keyless:
		f.Why, f.Mend = "then a new one is made at the next start, which devices have to trust anew", "rm "+cert
	case ca.Mixed:
		f.Why, f.Mend = "devices that got the certificate from that file trust another authority", "rm "+cert
	case ca.Early:
		f.Mend = "timedatectl set-ntp true"
	case ca.Damaged:
		f.Why, f.Mend = "then a new one is made at the next start, which devices have to trust anew", fmt.Sprintf("mv %s %[1]s.old; rm -f %s", key, cert)
	}
	return []Finding{f}
}

// trusted is about this machine: does what runs here trust the authority?
func trusted(m *Machine) []Finding {
	a := &m.Authority
	if a.Dir == "" || a.Trouble != nil || a.Missing {
		return nil
	}
	level := Note
	if m.Steering.Local {
		level = Warning
	}
	switch {
	case a.SystemErr != nil:
		return []Finding{{ID: "trust", Level: level, What: "whether this machine trusts the authority can't be told: " + a.SystemErr.Error(), Mend: "transom ca check" + m.caDir()}}
	case !a.System.Trusted && len(a.Stale) > 0:
		return []Finding{{
			ID: "trust", Level: Warning, What: "this machine trusts another authority of transom's, and not the one in " + a.Dir,
			Why: "as " + strings.Join(a.Stale, ", ") + "; a gateway that is started by sudo has its caller's, and --ca-dir names any", Mend: "sudo transom ca trust" + m.caDir(),
		}}
	case !a.System.Trusted:
		return []Finding{{
			ID: "trust", Level: level, What: "this machine does not trust the authority",
			Why: "that matters for what runs here and is captured (--local), not for devices", Mend: "sudo transom ca trust" + m.caDir(),
		}}
	case len(a.Doubters) > 0:
		return []Finding{{ID: "trust", Level: Note, What: fmt.Sprintf("of this machine's programs %d don't trust the authority: %s", len(a.Doubters), strings.Join(a.Doubters, ", ")), Mend: "transom ca check" + m.caDir()}}
	}
	return ok("trust", "this machine trusts the authority")
}

// caDir is the option, if one was given.
func (m *Machine) caDir() string {
	if m.CADir == "" {
		return ""
	}
	return " --ca-dir " + ShellWord(m.CADir)
}

// ShellWord writes an argument as a shell takes it.
func ShellWord(path string) string {
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:,=@+%", r)
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// devices says how devices come to trust the authority; whether they do only they
// know, and whoever sees them refuse.
func devices(m *Machine) []Finding {
	if len(m.Steering.Interfaces) == 0 || m.Running == nil {
		return nil
	}
	host := "this-host"
	if a := m.address(); a.IsValid() {
		host = a.String()
	}
	return ok("devices", fmt.Sprintf("a device gets the certificate at http://%s:%d/; one that does not trust it is shown by transom as a client that refused it", host, m.Steering.Port))
}
