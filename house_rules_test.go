package transom_test

import (
	"go/ast"
	"go/build/constraint"
	"go/token"
	"path"
	"slices"
	"strings"
)

// rules checks what holds for every file by itself.
func (f source) rules(say func(string, ...any)) {
	for _, g := range f.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(c.Text, "//")), "nolint") {
				say("%s: has a nolint comment: mend what the linter found", f.name)
			}
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				say("%s: has an init function", f.name)
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR && !f.test {
				f.globals(d, say)
			}
		}
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			f.call(call, say)
		}
		return true
	})
}

// call checks one call.
func (f source) call(call *ast.CallExpr, say func(string, ...any)) {
	fun, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	on, ok := fun.X.(*ast.Ident)
	if !ok {
		return
	}
	switch {
	case on.Name == "time" && fun.Sel.Name == "Sleep" && !f.uses("testing/synctest"):
		say("%s: sleeps: wait for what it waits for", f.name)
	case on.Name == "slog" && in(fun.Sel.Name, "Default SetDefault Debug* Info* Warn* Error* Log*"):
		say("%s: logs to a global: pass a *slog.Logger", f.name)
	case f.test && !in(f.pkg, "internal/testnet internal/testnet/*") && in(on.Name, "t b f tb") && in(fun.Sel.Name, "Skip Skipf SkipNow"):
		say("%s: skips by itself: use testnet.Need, which says why", f.name)
	}
}

// uses reports whether the file imports a package.
func (f source) uses(pkg string) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+pkg+`"` })
}

// globals allows package-level variables that nobody will change: sentinel
// errors, tables, assertions, times and addresses that would be constants if Go
// had such, embedded files, pools that say what for, and the version that the
// linker sets.
func (f source) globals(d *ast.GenDecl, say func(string, ...any)) {
	for _, s := range d.Specs {
		v := s.(*ast.ValueSpec)
		doc := v.Doc
		if doc == nil {
			doc = d.Doc
		}
		for i, name := range v.Names {
			var value ast.Expr
			if i < len(v.Values) {
				value = v.Values[i]
			}
			switch {
			case name.Name == "_":
			case isSentinel(name.Name, value), isTable(value), isConstant(value):
			case doc != nil && (isPool(value) || isPool(v.Type)):
			case value == nil && embeds(doc):
			case name.Name == "version" && doc != nil && in(f.pkg, "cmd/*"):
			default:
				say("%s: package-level variable %s: only sentinels, tables, documented pools and assertions may be", f.name, name.Name)
			}
		}
	}
}

// isSentinel recognises an error made by errors.New or fmt.Errorf, or written
// out as a value of its own type.
func isSentinel(name string, value ast.Expr) bool {
	if !strings.HasPrefix(strings.ToLower(name), "err") {
		return false
	}
	switch x := value.(type) {
	case *ast.CallExpr:
		return isName(x.Fun, "errors", "New") || isName(x.Fun, "fmt", "Errorf")
	case *ast.UnaryExpr:
		lit, ok := x.X.(*ast.CompositeLit)
		return ok && len(lit.Elts) > 0
	}
	return false
}

// isConstant recognises a fixed time or address.
func isConstant(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	for _, name := range []string{"MustParseAddr", "MustParseAddrPort", "MustParsePrefix", "AddrFrom4", "AddrFrom16"} {
		if isName(call.Fun, "netip", name) {
			return true
		}
	}
	return isName(call.Fun, "time", "Unix") || isName(call.Fun, "time", "Date")
}

// isTable recognises an array, slice or map written out; an empty one would be
// for something to put in.
func isTable(value ast.Expr) bool {
	lit, ok := value.(*ast.CompositeLit)
	if !ok || len(lit.Elts) == 0 {
		return false
	}
	switch lit.Type.(type) {
	case *ast.ArrayType, *ast.MapType:
		return true
	}
	return false
}

// isPool recognises sync.Pool as a type, a literal, or a pointer to one.
func isPool(x ast.Expr) bool {
	if u, ok := x.(*ast.UnaryExpr); ok && u.Op == token.AND {
		x = u.X
	}
	if lit, ok := x.(*ast.CompositeLit); ok {
		x = lit.Type
	}
	return isName(x, "sync", "Pool")
}

func isName(x ast.Expr, pkg, name string) bool {
	sel, ok := x.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && sel.Sel.Name == name
}

// embeds reports whether a declaration's comment embeds a file.
func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// comment checks how the package comment begins.
func (f source) comment(say func(string, ...any)) {
	want := "Package " + f.Name.Name + " "
	if f.Name.Name == "main" {
		want = "Command " + path.Base(f.pkg) + " "
	}
	if !strings.HasPrefix(f.Doc.Text(), want) {
		say("%s: the package comment does not begin with %q", f.name, want)
	}
}

// system reports whether the file is built for some operating systems only:
// by the end of its name, or by a build constraint.
func (f source) system() bool {
	parts := strings.Split(strings.TrimSuffix(path.Base(f.name), ".go"), "_")[1:]
	if slices.ContainsFunc(parts[max(0, len(parts)-2):], isSystem) {
		return true
	}
	found := false
	for _, g := range f.Comments {
		for _, c := range g.List {
			if x, err := constraint.Parse(c.Text); err == nil && g.Pos() < f.Package {
				x.Eval(func(tag string) bool { // it is asked about every tag
					found = found || isSystem(tag)
					return true
				})
			}
		}
	}
	return found
}

func isSystem(word string) bool {
	return in(word, "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris unix wasip1 windows")
}
