package view

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	maxSchema      = 64 << 20 // of one file
	maxSchemaFiles = 20_000
)

// ReadSchema reads what names name: .proto files, directories with them, and
// sets of descriptors as protoc -o writes them. Imports are looked for in the
// directories, in the sets, and where the file that imports would have it. It
// reads all there is to be read before it returns. Errors begin with the file
// and, where it is within one, with line and column.
func ReadSchema(names []string) (*Schema, error) {
	c := newCompiler()
	var sources []string
	for _, name := range names {
		more, err := c.take(name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, more...)
	}
	if err := c.rooted(sources); err != nil {
		return nil, err
	}
	return c.schema(sources)
}

// take looks at what was named, and returns the .proto files of it.
func (c *compiler) take(name string) (sources []string, err error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	c.called[path] = name
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w: name a .proto file, a directory with some, or a set of descriptors", name, errors.Unwrap(err))
	case info.IsDir():
		return c.directory(path, name)
	case strings.HasSuffix(path, ".proto"):
		return []string{path}, nil
	}
	return nil, c.set(path)
}

// directory returns the .proto files of a directory, and looks for imports there.
func (c *compiler) directory(path, name string) (sources []string, err error) {
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".proto") {
			return err
		}
		c.called[p] = filepath.Join(name, strings.TrimPrefix(p, path))
		if sources = append(sources, p); len(sources) > maxSchemaFiles {
			return fmt.Errorf("%s: there are more than %d .proto files: name a directory with fewer", name, maxSchemaFiles)
		}
		return nil
	})
	if err == nil && len(sources) == 0 {
		err = fmt.Errorf("%s: there is no .proto file in it", name)
	}
	c.roots = append(c.roots, path)
	return sources, err
}

// set reads a FileDescriptorSet.
func (c *compiler) set(path string) error {
	data, err := readAll(path)
	if err != nil {
		return err
	}
	var all descriptorpb.FileDescriptorSet
	if err = proto.Unmarshal(data, &all); err == nil && (len(all.File) == 0 || slices.ContainsFunc(all.File, func(f *descriptorpb.FileDescriptorProto) bool { return f.GetName() == "" })) {
		err = errors.New("it has no files")
	}
	if err != nil {
		return fmt.Errorf("%s: neither a .proto file by its name nor a set of descriptors: %w; protoc --include_imports -o FILE makes one", c.called[path], err)
	}
	for _, f := range all.File {
		if c.sets[f.GetName()] == nil {
			c.sets[f.GetName()] = f
			c.inSets = append(c.inSets, f.GetName())
			c.called[f.GetName()] = c.called[path] + ": " + strconv.Quote(f.GetName())
		}
	}
	return nil
}

// rooted adds the directories that files name their imports from: the file's
// own, or the nearest above it that has them all.
func (c *compiler) rooted(sources []string) error {
	named := c.roots
	for _, path := range sources {
		if slices.ContainsFunc(named, func(root string) bool { return below(root, path) }) {
			continue
		}
		node, err := c.parse(path, path)
		if err != nil {
			return c.told(err)
		}
		imports := importsOf(node)
		root := filepath.Dir(path)
		for dir := root; ; dir = filepath.Dir(dir) {
			if c.has(dir, imports) {
				root = dir
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
		c.roots = append(c.roots, root)
	}
	return nil
}

// has reports whether all of some imports are there, those in dir too.
func (c *compiler) has(dir string, imports []string) bool {
	return !slices.ContainsFunc(imports, func(name string) bool {
		return !c.elsewhere(name) && (&compiler{roots: []string{dir}}).find(name) == ""
	})
}

// elsewhere reports whether an import is in a set, in what everybody has, or below
// a directory.
func (c *compiler) elsewhere(name string) bool {
	return c.sets[name] != nil || standard(name) != nil || c.find(name) != ""
}

// find returns the path of what is imported by a name, or "".
func (c *compiler) find(name string) string {
	if !fs.ValidPath(name) {
		return ""
	}
	for _, root := range c.roots {
		path := filepath.Join(root, filepath.FromSlash(name))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// nameOf is the name that a file is imported by: from the widest of the
// directories it is below.
func (c *compiler) nameOf(path string) string {
	name := ""
	for _, root := range c.roots {
		if below(root, path) {
			if rel, err := filepath.Rel(root, path); err == nil && len(rel) > len(name) {
				name = filepath.ToSlash(rel)
			}
		}
	}
	return name
}

func below(root, path string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator))
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSchema+1))
	if err == nil && len(data) > maxSchema {
		err = fmt.Errorf("%s: larger than %d MiB, which no schema is", path, maxSchema>>20)
	}
	return data, err
}
