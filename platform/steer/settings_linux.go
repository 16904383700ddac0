package steer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// settings are the kernel's, of the network namespace of the thread that opened
// them: whose /proc/sys/net/ipv4 and ipv6 are, though not those above them, is
// settled when they are opened.
type settings struct{ family map[string]*os.Root }

func openSettings() (*settings, error) {
	s := &settings{make(map[string]*os.Root)}
	for _, family := range []string{"ipv4", "ipv6"} {
		root, err := os.OpenRoot("/proc/sys/net/" + family)
		switch {
		case err == nil:
			s.family[family] = root
		case family == "ipv4" || !errors.Is(err, fs.ErrNotExist):
			return nil, errors.Join(fmt.Errorf("open the kernel's settings: %w", err), s.close())
		}
	}
	return s, nil
}

func (s *settings) close() error {
	var errs []error
	for _, root := range s.family {
		errs = append(errs, root.Close())
	}
	return errors.Join(errs...)
}

// open opens a setting, or a directory of them.
func (s *settings) open(key string, flag int) (*os.File, error) {
	family, name, _ := strings.Cut(key, "/")
	root := s.family[family]
	if root == nil {
		return nil, fs.ErrNotExist
	}
	return root.OpenFile(name, flag, 0)
}

func (s *settings) read(key string) (string, error) {
	f, err := s.open(key, os.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("read net.%s: %w", swap(key), cause(err))
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return "", fmt.Errorf("read net.%s: %w", swap(key), cause(err))
	}
	return strings.TrimSpace(string(b)), nil
}

// write leaves a setting alone that is as it should be: it may be read-only.
func (s *settings) write(key, value string) error {
	if now, err := s.read(key); err == nil && now == value {
		return nil
	}
	f, err := s.open(key, os.O_WRONLY)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	return s.explain(key, value, err)
}

// writable reports what write would fail with.
func (s *settings) writable(key, value string) error {
	f, err := s.open(key, os.O_WRONLY)
	if err == nil {
		err = f.Close()
	}
	return s.explain(key, value, err)
}

func (s *settings) explain(key, value string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("set net.%s to %s: %w: /proc/sys is read-only, as in a container; set it from outside", swap(key), value, cause(err))
	}
	return fmt.Errorf("set net.%s to %s: %w", swap(key), value, cause(err))
}

// cause leaves out the path, which is named otherwise.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// ipv6 reports whether the kernel has IPv6, also on lo.
func (s *settings) ipv6() bool {
	off, err := s.read("ipv6/conf/lo/disable_ipv6")
	return err == nil && off == "0"
}

// plan returns the changes that forwarding from and to ifaces wants, in the
// order in which they are taken back, which is the reverse of how they are made.
// Those in old have been made, and are kept as they are.
func (s *settings) plan(ifaces []string, old []change) ([]change, error) {
	if len(ifaces) == 0 {
		return nil, nil
	}
	var list []change
	for _, name := range append([]string{"all"}, ifaces...) {
		// One of the two is enough for redirects to be sent: "or", not "and".
		c, err := s.want("ipv4/conf/"+name+"/send_redirects", "0", old)
		if errors.Is(err, fs.ErrNotExist) && name != "all" {
			continue // an interface that has gone since we began
		}
		if err != nil {
			return nil, err
		}
		list = append(list, c...)
	}
	v4, err := s.forwarding4(old)
	if err != nil {
		return nil, err
	}
	v6, err := s.forwarding6(old)
	return slices.Concat(list, v4, v6), err
}

// want is the change of one setting, or none.
func (s *settings) want(key, set string, old []change) ([]change, error) {
	if c, ok := find(old, key); ok {
		return []change{c}, nil
	}
	was, err := s.read(key)
	if err != nil || was == set {
		return nil, err
	}
	return []change{{key, set, was}}, nil
}

// forwarding4 turns on IPv4 forwarding. The kernel changes some other settings
// with it: what taking it back would not bring back by itself is noted, too.
func (s *settings) forwarding4(old []change) ([]change, error) {
	const main = "ipv4/ip_forward"
	if _, ok := find(old, main); ok {
		return with(old, "ipv4/", "send_redirects"), nil
	}
	list, err := s.want(main, "1", nil)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	const redirects = "ipv4/conf/all/accept_redirects"
	was, err := s.read(redirects)
	if err != nil {
		return nil, err
	}
	if was != "1" {
		list = append(list, change{redirects, "0", was})
	}
	single, err := s.forwarders("ipv4")
	return append(list, single...), err
}

// forwarding6 turns on IPv6 forwarding. A host that forwards takes no routes from
// routers any more, unless accept_ra is 2.
func (s *settings) forwarding6(old []change) ([]change, error) {
	const main = "ipv6/conf/all/forwarding"
	if _, ok := find(old, main); ok {
		return with(old, "ipv6/", ""), nil
	}
	list, err := s.want(main, "1", nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // there is no IPv6
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	single, err := s.forwarders("ipv6")
	if err != nil {
		return nil, err
	}
	ra, err := s.advertised()
	return slices.Concat(list, single, ra), err
}

// with returns the changes of a family but those whose key ends so.
func with(list []change, prefix, without string) (out []change) {
	for _, c := range list {
		if strings.HasPrefix(c.key, prefix) && (without == "" || !strings.HasSuffix(c.key, "/"+without)) {
			out = append(out, c)
		}
	}
	return out
}

// forwarders notes the interfaces that forward by themselves, without the host
// being a router.
func (s *settings) forwarders(family string) (list []change, err error) {
	err = s.each(family, func(name string) error {
		key := family + "/conf/" + name + "/forwarding"
		if now, err := s.read(key); err != nil || now != "1" {
			return err
		}
		list = append(list, change{key, "1", "1"})
		return nil
	})
	return list, err
}

// advertised keeps the routes that interfaces learn from routers.
func (s *settings) advertised() (list []change, err error) {
	err = s.each("ipv6", func(name string) error {
		dir := "ipv6/conf/" + name
		forwards, err := s.read(dir + "/forwarding")
		if err != nil {
			return err
		}
		accepts, err := s.read(dir + "/accept_ra")
		if err == nil && forwards == "0" && accepts == "1" {
			list = append(list, change{dir + "/accept_ra", "2", "1"})
		}
		return err
	})
	return list, err
}

// each calls f for each interface, and for "default". One that goes away
// meanwhile is passed over, and one whose name could not be noted.
func (s *settings) each(family string, f func(name string) error) error {
	dir, err := s.open(family+"/conf", os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("list the interfaces of %s: %w", family, cause(err))
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list the interfaces of %s: %w", family, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "all" || strings.ContainsAny(name, "\"\n") {
			continue
		}
		if err := f(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// set makes the changes, last first. Where a change is to what was already set,
// it is one that the kernel makes along with another.
func (s *settings) set(list []change) error {
	for _, c := range slices.Backward(list) {
		if c.set == c.was || c.key == "ipv4/conf/all/accept_redirects" {
			continue
		}
		if err := s.write(c.key, c.set); err != nil && !errors.Is(err, fs.ErrNotExist) { // its interface may just have gone
			return err
		}
	}
	return nil
}

// stillOurs returns the changes that are in force: somebody may have changed the
// setting meanwhile, or taken the interface away.
func (s *settings) stillOurs(list []change) (ours []change) {
	for _, c := range list {
		if now, err := s.read(c.key); err == nil && now == c.set {
			ours = append(ours, c)
		}
	}
	return ours
}

// restore takes the changes back that are still ours. All are looked at before
// the first is taken back, which may change others.
func (s *settings) restore(list []change) error {
	var errs []error
	for _, c := range s.stillOurs(list) {
		if err := s.write(c.key, c.was); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
