package view

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A compiler makes a Schema of files. It does one step after the other, in the
// goroutine of who asked: protocompile's own compiler leaves goroutines behind
// when a file is wrong.
type compiler struct {
	roots  []string                                     // directories that imports are looked for in
	sets   map[string]*descriptorpb.FileDescriptorProto // by name
	inSets []string                                     // their names, in order
	called map[string]string                            // what is said to a person, by path or, of sets, by name
	paths  map[string]string                            // of files, by name
	names  map[string]string                            // the other way round

	linked  map[string]linker.File // by name
	opened  []string               // names of what is being compiled, each imported by the one before
	all     protoregistry.Files    // of linked
	symbols linker.Symbols
}

func newCompiler() *compiler {
	return &compiler{
		sets:   map[string]*descriptorpb.FileDescriptorProto{},
		called: map[string]string{},
		paths:  map[string]string{},
		names:  map[string]string{},
		linked: map[string]linker.File{},
	}
}

// schema compiles sources, what was in sets, and what they import.
func (c *compiler) schema(sources []string) (*Schema, error) {
	s := &Schema{
		messages:   map[protoreflect.FullName]protoreflect.MessageDescriptor{},
		methods:    map[string]protoreflect.MethodDescriptor{},
		extensions: map[extended]protoreflect.FieldDescriptor{},
	}
	names := c.inSets
	for _, path := range sources {
		names = append(names, c.nameOf(path))
	}
	for _, name := range names {
		if _, err := c.compile(name); err != nil {
			return nil, err
		}
	}
	for _, f := range c.linked {
		s.add(f)
	}
	return s, nil
}

// compile returns the file that is imported by a name.
func (c *compiler) compile(name string) (linker.File, error) {
	if f := c.linked[name]; f != nil {
		return f, nil
	}
	f, err := c.make(name)
	if err == nil {
		err = c.all.RegisterFile(f)
	}
	if err != nil {
		return nil, c.told(err)
	}
	c.linked[name] = f
	return f, nil
}

func (c *compiler) make(name string) (linker.File, error) {
	if d := standard(name); d != nil {
		return linker.NewFileRecursive(d)
	}
	c.opened = append(c.opened, name)
	defer func() { c.opened = c.opened[:len(c.opened)-1] }()
	if d := c.sets[name]; d != nil {
		return c.described(d)
	}
	return c.written(name)
}

// described makes a file of its descriptor.
func (c *compiler) described(d *descriptorpb.FileDescriptorProto) (linker.File, error) {
	imported, err := c.imports(parser.ResultWithoutAST(d))
	if err != nil {
		return nil, err
	}
	f, err := protodesc.NewFile(d, &c.all)
	if err == nil {
		err = c.symbols.Import(f, reporter.NewHandler(nil))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.say(d.GetName()), err)
	}
	return linker.NewFile(f, imported)
}

// written makes a file of its source.
func (c *compiler) written(name string) (linker.File, error) {
	h := reporter.NewHandler(nil)
	source, err := c.source(name, h)
	if err != nil {
		return nil, err
	}
	imported, err := c.imports(source)
	if err != nil {
		return nil, err
	}
	f, err := linker.Link(source, imported, &c.symbols, h)
	if err != nil {
		return nil, err
	}
	if _, err = options.InterpretOptions(f, h); err != nil {
		return nil, err
	}
	if err = f.ValidateOptions(h, &c.symbols); err != nil {
		return nil, err
	}
	f.RemoveAST() // which is several times as large
	return f, nil
}

// imports compiles what a file imports.
func (c *compiler) imports(by parser.Result) (all linker.Files, err error) {
	for _, name := range by.FileDescriptorProto().Dependency {
		f, err := c.dependency(by, name)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// dependency compiles one file for another.
func (c *compiler) dependency(by parser.Result, name string) (linker.File, error) {
	for i, open := range c.opened {
		if open == name {
			return nil, reporter.Errorf(importSpan(by, name), "import %q leads back here, by %q", name, c.opened[i:])
		}
	}
	if !c.elsewhere(name) {
		return nil, reporter.Errorf(importSpan(by, name), "import %q is not there: name the directory that has it, too", name)
	}
	return c.compile(name)
}

// source returns what stands in a file.
func (c *compiler) source(name string, h *reporter.Handler) (parser.Result, error) {
	path := c.find(name)
	if other := c.names[path]; other != "" {
		return nil, fmt.Errorf("%s: imported as %q and as %q: name only the directory that imports begin at", c.say(path), other, name)
	}
	c.names[path], c.paths[name] = name, path
	node, err := c.parse(path, name)
	if err != nil {
		return nil, err
	}
	return parser.ResultFromAST(node, true, h)
}

// parse reads a file. Where something is wrong it is called as.
func (c *compiler) parse(path, as string) (*ast.FileNode, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return parser.Parse(as, bytes.NewReader(data), reporter.NewHandler(nil))
}

// told words what is wrong with a file.
func (c *compiler) told(err error) error {
	var at reporter.ErrorWithPos
	if !errors.As(err, &at) {
		return err
	}
	pos := at.GetPosition()
	where := c.say(cmp.Or(c.paths[pos.Filename], pos.Filename))
	if pos.Line > 0 {
		where += fmt.Sprintf(":%d:%d", pos.Line, pos.Col)
	}
	return fmt.Errorf("%s: %w; mend it, or name other files", where, at.Unwrap())
}

// say is what a file is called to a person.
func (c *compiler) say(path string) string { return cmp.Or(c.called[path], path) }

// standard returns a file that every compiler of protobuf brings with it, or nil.
func standard(name string) protoreflect.FileDescriptor {
	none := protocompile.ResolverFunc(func(string) (protocompile.SearchResult, error) {
		return protocompile.SearchResult{}, protoregistry.NotFound
	})
	r, err := protocompile.WithStandardImports(none).FindFileByPath(name)
	if err != nil {
		return nil
	}
	return r.Desc
}

func importsOf(f *ast.FileNode) (names []string) {
	for _, d := range f.Decls {
		if i, ok := d.(*ast.ImportNode); ok {
			names = append(names, i.Name.AsString())
		}
	}
	return names
}

// importSpan is where a file has an import.
func importSpan(in parser.Result, name string) ast.SourceSpan {
	if f := in.AST(); f != nil {
		for _, d := range f.Decls {
			if i, ok := d.(*ast.ImportNode); ok && i.Name.AsString() == name {
				return f.NodeInfo(i.Name)
			}
		}
	}
	return ast.UnknownSpan(in.FileNode().Name())
}
