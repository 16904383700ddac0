package trust

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds what is read of one file: bundles of roots are below 1 MiB.
const maxFile = 16 << 20

// at is where a path of the machine's is found by this process.
func (m *Machine) at(path string) string { return m.Root + path }

// maxLinks bounds how many symbolic links lead to a file, as the kernel does.
const maxLinks = 40

// real follows symbolic links as the machine would: absolute ones begin at its
// root. It returns "" if there is nothing.
func (m *Machine) real(path string) string {
	done, rest := "/", parts(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(done, rest[0]) // of "/" and ".." it makes "/", as the kernel does
		rest = rest[1:]
		info, err := os.Lstat(m.at(next))
		if err != nil {
			return ""
		}
		if info.Mode()&os.ModeSymlink == 0 {
			done = next
			continue
		}
		to, err := os.Readlink(m.at(next))
		if links++; err != nil || links > maxLinks {
			return ""
		}
		if filepath.IsAbs(to) {
			done = "/"
		}
		rest = append(parts(to), rest...)
	}
	return done
}

// parts are the names of a path.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// file is the real path of a regular file, or "".
func (m *Machine) file(path string) string {
	real := m.real(path)
	if real == "" {
		return ""
	}
	if info, err := os.Lstat(m.at(real)); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return real
}

// dir is the real path of a directory, or "".
func (m *Machine) dir(path string) string {
	real := m.real(path)
	if real == "" {
		return ""
	}
	if info, err := os.Lstat(m.at(real)); err != nil || !info.IsDir() {
		return ""
	}
	return real
}

// read returns a file's content; none if there is no such file, if it is not a
// file, may not be read, or is too large to be what it is taken for.
func (m *Machine) read(path string) []byte {
	real := m.file(path)
	if real == "" {
		return nil
	}
	if info, err := os.Lstat(m.at(real)); err != nil || info.Size() > maxFile {
		return nil
	}
	data, err := os.ReadFile(m.at(real))
	if err != nil {
		return nil
	}
	return data
}

// glob returns the paths that match a pattern, in order. Symbolic links in the
// directories are followed by this process: a Root of tests has none of those.
func (m *Machine) glob(pattern string) []string {
	found, err := filepath.Glob(m.at(pattern))
	if err != nil {
		return nil // a name of the person's with a bracket in it
	}
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], m.Root)
	}
	return found
}

// below returns a path below the person's home, "" if there is none.
func (m *Machine) below(path string) string {
	if m.Home == "" {
		return ""
	}
	return filepath.Join(m.Home, path)
}

func (m *Machine) env(name string) string {
	if m.Env == nil {
		return ""
	}
	return m.Env(name)
}

// path is the directories that programs are looked for in: the person's, and those
// of the system that theirs may lack.
func (m *Machine) path() []string {
	var dirs []string
	for _, dir := range append(filepath.SplitList(m.env("PATH")), systemPath[:]...) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

var systemPath = [...]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// program finds a program by its name, "" if there is none.
func (m *Machine) program(name string) string { return m.programIn(m.path(), name) }

// tool finds a program that may be run as root: where the system keeps them,
// whatever PATH says.
func (m *Machine) tool(name string) string { return m.programIn(systemPath[:], name) }

func (m *Machine) programIn(dirs []string, name string) string {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if real := m.file(path); real != "" {
			if info, err := os.Lstat(m.at(real)); err == nil && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}

// owns reports whether a path is below the person's home.
func (m *Machine) owns(path string) bool {
	return m.Home != "" && m.Home != "/" && strings.HasPrefix(path, strings.TrimSuffix(m.Home, "/")+"/")
}
