package neighbour

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A place is where files of a format may be. Earlier places are believed before later.
type place struct {
	pattern string // for filepath.Glob
	format  format
}

// places is where DHCP servers write, as they come and as distributions have them.
var places = []place{
	{"/var/lib/misc/dnsmasq*.leases", dnsmasq}, // Debian, lxc
	{"/var/lib/dnsmasq/*.leases", dnsmasq},
	{"/tmp/dhcp.leases", dnsmasq}, // OpenWrt
	{"/var/db/dnsmasq.leases", dnsmasq},
	{"/etc/pihole/dhcp.leases", dnsmasq},
	{"/var/lib/NetworkManager/dnsmasq-*.leases", dnsmasq}, // a shared connection, a hotspot
	{"/var/lib/libvirt/dnsmasq/*.status", libvirt},
	{"/var/lib/systemd/network/dhcp-server-lease/*", networkd},
	{"/run/systemd/netif/dhcp-server-lease/*", networkd},
	{"/var/lib/kea/kea-leases[46].csv", kea},
	{"/var/db/kea/kea-leases[46].csv", kea},
	{"/var/lib/dhcp/dhcpd.leases", dhcpd},
	{"/var/lib/dhcpd/dhcpd.leases", dhcpd},
	{"/var/db/dhcpd.leases", dhcpd},
	{"/var/db/dhcpd/dhcpd.leases", dhcpd},
	{"/var/db/dhcpd_leases", apple},
}

// hostFiles are this host's own list.
var hostFiles = []place{{"/etc/hosts", hosts}}

// Files are the files and directories that a Watch reads, as far as they are there: a
// process that gives its rights up keeps that of reading them.
func Files(s Sources) (paths []string) {
	if s.Hosts {
		paths = append(paths, hostFiles[0].pattern)
	}
	if !s.Leases {
		return paths
	}
	for _, p := range places {
		paths = append(paths, glob(p.pattern)...)
		// Most write a new file and rename it, which a rule for the file wouldn't follow.
		// Some directories are for more than that.
		if dir := filepath.Dir(p.pattern); !slices.Contains([]string{"/tmp", "/etc", "/var/db"}, dir) && !slices.Contains(paths, dir) {
			if _, err := os.Stat(dir); err == nil {
				paths = append(paths, dir)
			}
		}
	}
	return paths
}

// Bounds of what is read.
const (
	filesMost = 64      // files of one place
	bytesMost = 4 << 20 // of one file: its end
)

func glob(pattern string) []string {
	names, _ := filepath.Glob(pattern) // the patterns are right
	return names[:min(len(names), filesMost)]
}

// A file is one that is, or was, at a path.
type file struct {
	format format
	held   *os.File // from before rights were given up; nil if it was not there
	as     os.FileInfo
	leases []lease
}

// files are those of some places. They are read again when they have changed.
type files struct {
	places []place
	log    *slog.Logger
	all    map[string]*file
	order  []string
}

// openFiles opens what is there now, so that it can be read by who may not open it.
func openFiles(places []place, log *slog.Logger) *files {
	f := &files{places: places, log: log, all: map[string]*file{}}
	for _, p := range places {
		for _, name := range glob(p.pattern) {
			held, err := open(name)
			if err != nil {
				log.Debug("names of devices are not read from a file", "err", err)
				continue
			}
			f.all[name] = &file{format: p.format, held: held}
		}
	}
	return f
}

func (f *files) close() error {
	var errs []error
	for _, one := range f.all {
		if one.held != nil {
			errs = append(errs, one.held.Close())
		}
	}
	return errors.Join(errs...)
}

// refresh reads what has changed, and reports whether anything has.
func (f *files) refresh(now time.Time) (changed bool) {
	var order []string
	for _, p := range f.places {
		names := glob(p.pattern)
		for name, one := range f.all { // whose directory can't be listed any more
			if ok, _ := filepath.Match(p.pattern, name); ok && one.held != nil && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if f.all[name] == nil {
				f.all[name] = &file{format: p.format}
			}
			changed = f.all[name].refresh(name, now) || changed
			order = append(order, name)
		}
	}
	for name, one := range f.all {
		if one.held == nil && !slices.Contains(order, name) {
			delete(f.all, name)
			changed = true
		}
	}
	f.order = order
	return changed
}

// refresh reads the file at a path, or the one that was there if it may not be opened.
func (f *file) refresh(name string, now time.Time) bool {
	at, err := open(name)
	switch {
	case err == nil:
		defer at.Close()
	case f.held != nil && !errors.Is(err, fs.ErrNotExist):
		at = f.held
	default:
		lost := len(f.leases) > 0
		f.as, f.leases = nil, nil
		return lost
	}
	as, err := at.Stat()
	if err != nil {
		return false
	}
	if f.as != nil && os.SameFile(f.as, as) && f.as.Size() == as.Size() && f.as.ModTime().Equal(as.ModTime()) {
		return false
	}
	b, err := tail(at, as.Size())
	if err != nil {
		return false
	}
	f.as, f.leases = as, f.format(b, now)
	f.leases = f.leases[max(0, len(f.leases)-leasesMost):]
	return true
}

// tail reads the end of a file, from the beginning of a line.
func tail(f *os.File, size int64) ([]byte, error) {
	from := max(0, size-bytesMost)
	b, err := io.ReadAll(io.NewSectionReader(f, from, bytesMost))
	if err != nil || from == 0 {
		return b, err
	}
	for i, c := range b {
		if c == '\n' {
			return b[i+1:], nil
		}
	}
	return nil, nil
}

// open opens a file that is one. In a directory like /tmp, where everybody may lay
// something and we may be root, it has to be the system's, and no link.
func open(name string) (*os.File, error) {
	dir, err := os.Stat(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	flags, anybodys := os.O_RDONLY|unix.O_NONBLOCK, dir.Mode().Perm()&0o002 != 0
	if anybodys {
		flags |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	if err := ours(f, name, anybodys); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// systemUIDs returns the first that is a person's.
func systemUIDs() uint32 {
	if runtime.GOOS == "darwin" {
		return 500
	}
	return 1000
}

func ours(f *os.File, name string, anybodys bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", name)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); anybodys && (!ok || st.Uid >= systemUIDs()) {
		return fmt.Errorf("%s: anybody may have made it, and nobody of the system has", name)
	}
	return nil
}
