package transom_test

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// house is the plan that the tree is held to. A new package gets its place here
// in the commit that brings it.
var house = plan{
	// A package may import packages of lower floors only, and those that beside
	// names for it.
	floors: []string{
		"flow ca pattern coding",
		"exchange message platform platform/* filter",
		"policy capture egress store store/*",
		"internal/proto/*",
		"internal/engine/*",
		"internal/engine addon/*",
		".",
		"app/config app/export app/follow",
		"app/view app/mitm app/har app/pcapng app/command app/redact",
		"app/show app/landing app/demo app/control app/files",
		"app/tui app/web",
		"cmd/* internal/bench internal/testreport",
	},
	beside: map[string]string{
		"internal/proto/h2":        "internal/proto/hpack",
		"internal/proto/tls13":     "internal/proto/sniff",
		"internal/proto/tlsterm":   "internal/proto/sniff internal/proto/tls13",
		"app/export":               "app/follow",
		"filter":                   "message",
		"store":                    "store/segment store/wire store/index",
		"store/wire":               "store/segment",
		"store/index":              "store/segment",
		"platform/lab":             "platform platform/nft",
		"platform":                 "platform/pf",
		"platform/nft":             "platform",
		"platform/splice":          "platform",
		"platform/rootless":        "platform platform/nft",
		"platform/owner":           "platform",
		"platform/neighbour":       "platform",
		"platform/steer":           "platform platform/nft",
		"platform/doctor":          "platform platform/nft platform/steer platform/helper platform/sandbox platform/trust",
		"platform/sandbox":         "platform",
		"platform/helper":          "platform platform/nft platform/pf platform/steer platform/sandbox",
		"app/demo":                 "app/landing app/show",
		"internal/engine/record":   "internal/engine/bus internal/engine/leg",
		"internal/engine/relay":    "internal/engine/leg",
		"internal/engine/upstream": "internal/engine/leg",
	},
	// What a lower floor would allow and the plan does not, unless except
	// names it.
	never: map[string]string{
		"internal/proto/*": "policy capture egress store platform platform/*",     // protocols know no policy, no disk and no system
		"addon/*":          "internal/* internal/*/* capture platform platform/*", // addons use what everybody can use
		"app/*":            "internal/* internal/*/* platform/*",                  // so does the application
	},
	except: map[string]string{
		"app/demo": "platform/lab platform/nft", // it builds its own network
		"app/view": "internal/proto/dns",        // DNS over HTTPS has DNS messages for bodies
		"app/mitm": "internal/proto/dns",        // what it writes has DNS messages in parts, and what it reads has to become whole ones
	},
	// Rooms that only _test.go files may enter.
	forTests: "internal/testnet internal/testnet/*",
	// Rooms that may consist of _test.go files alone.
	onlyTests: "internal/e2e internal/nettest",
	// Rooms that may have files for one operating system.
	systems: "platform platform/*",
	// Who may import what is neither ours, nor of the standard library, nor in
	// golang.org/x; "" is tests only.
	libraries: map[string]string{
		"filippo.io/age":                            "store/segment",    // the key that a store is encrypted under, in a file that age can open
		"github.com/dlclark/regexp2":                "pattern",          // patterns mean what they mean in mitmproxy
		"github.com/klauspost/compress":             "coding app/files", // zstd, snappy
		"github.com/molecule-man/go-brrr":           "coding",           // brotli
		"github.com/mdlayher/netlink":               "platform platform/*",
		"github.com/vishvananda/netlink":            "platform platform/*",
		"github.com/bufbuild/protocompile":          "app/view", // .proto files, which are read at run time
		"google.golang.org/protobuf":                "app/view", // the wire format, and what descriptors say
		"github.com/vektah/gqlparser/v2":            "app/view", // GraphQL, parsed and formatted
		"github.com/tdewolff/parse/v2":              "app/view", // where tokens of CSS and JavaScript end
		"golang.org/x/sys":                          "platform platform/*",
		"modernc.org/sqlite":                        "store/index",      // SQL stands in one room
		"kernel.org/pub/linux/libs/security/libcap": "platform/sandbox", // system calls on all threads, with cgo and without
		"github.com/spf13/cobra":                    "cmd/*",
		"github.com/spf13/pflag":                    "cmd/*",
		"software.sslmate.com/src/go-pkcs12":        "ca platform/trust",
		"github.com/coder/websocket":                "", // a peer that knows nothing of us
		"github.com/google/go-cmp":                  "",
		"go.uber.org/goleak":                        "",
		"google.golang.org/grpc":                    "",
		"pgregory.net/rapid":                        "",
	},
}

// TestHouse holds the tree to its plan.
func TestHouse(t *testing.T) {
	for _, problem := range house.check(os.DirFS(".")) {
		t.Error(problem)
	}
}

// A plan says which packages there are and who may import whom. Its values are
// lists of patterns for path.Match, separated by spaces.
type plan struct {
	floors    []string
	beside    map[string]string
	never     map[string]string
	except    map[string]string
	forTests  string
	onlyTests string
	systems   string
	libraries map[string]string
}

// A room is what has been seen of one package.
type room struct {
	files    int // without tests
	comments int // package comments
}

// check returns a line for everything in the tree that is against the plan.
func (p plan) check(tree fs.FS) []string {
	var problems []string
	say := func(format string, a ...any) { problems = append(problems, fmt.Sprintf(format, a...)) }
	rooms := map[string]*room{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
		if err != nil {
			say("%v", err)
			return nil
		}
		if good, err := format.Source(src); err != nil || string(good) != string(src) {
			say("%s: not formatted", name)
		}
		pkg := path.Dir(name)
		if rooms[pkg] == nil {
			rooms[pkg] = new(room)
		}
		file := source{name: name, pkg: pkg, File: f, test: strings.HasSuffix(name, "_test.go")}
		p.imports(file, say)
		file.rules(say)
		if file.test {
			return nil
		}
		rooms[pkg].files++
		if f.Doc != nil {
			rooms[pkg].comments++
			file.comment(say)
		}
		if file.system() && !in(pkg, p.systems) {
			say("%s: depends on the operating system; that belongs in platform", name)
		}
		return nil
	})
	if err != nil {
		say("%v", err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(rooms)) {
		p.room(pkg, rooms[pkg], say)
	}
	return problems
}

// room checks a package as a whole.
func (p plan) room(pkg string, r *room, say func(string, ...any)) {
	if p.floor(pkg) < 0 && !in(pkg, p.forTests) && !in(pkg, p.onlyTests) {
		say("%s: on no floor: add it to the plan", pkg)
	}
	for _, word := range strings.Split(pkg, "/") {
		if in(word, "util utils common helpers misc types") {
			say("%s: %q says nothing: name it for what it holds", pkg, word)
		}
	}
	switch {
	case r.files == 0 && !in(pkg, p.onlyTests):
		say("%s: an empty room: it has tests and nothing to test", pkg)
	case r.files > 0 && r.comments != 1:
		say("%s: %d files have a package comment, want 1", pkg, r.comments)
	}
}

// imports checks what a file imports.
func (p plan) imports(f source, say func(string, ...any)) {
	for _, spec := range f.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			say("%s: import %s: %v", f.name, spec.Path.Value, err)
			continue
		}
		if to != "transom" && !strings.HasPrefix(to, "transom/") {
			p.foreign(f, to, say)
			continue
		}
		if f.test {
			continue // the compiler keeps tests out of circles
		}
		if to = strings.TrimPrefix(strings.TrimPrefix(to, "transom"), "/"); to == "" {
			to = "."
		}
		switch {
		case in(f.pkg, p.forTests): // they come from above everything
		case in(to, p.forTests):
			say("%s: %s is for tests only", f.name, to)
		case p.floor(to) < 0:
			say("%s: imports %s, which is on no floor", f.name, to)
		case p.floor(to) >= p.floor(f.pkg) && !in(to, p.beside[f.pkg]):
			say("%s: %s must not import %s", f.name, f.pkg, to)
		}
		for from, no := range p.never {
			if in(f.pkg, from) && in(to, no) && !in(to, p.except[f.pkg]) {
				say("%s: %s may never import %s", f.name, f.pkg, to)
			}
		}
	}
}

// foreign checks an import of what is not ours.
func (p plan) foreign(f source, to string, say func(string, ...any)) {
	switch {
	case to == "C":
		say("%s: imports C, and the binary is static", f.name)
	case to == "log" && !f.test:
		say("%s: logs to a global: pass a *slog.Logger", f.name)
	}
	if !strings.Contains(strings.Split(to, "/")[0], ".") {
		return // the standard library
	}
	for lib, who := range p.libraries {
		if to == lib || strings.HasPrefix(to, lib+"/") {
			if !f.test && !in(f.pkg, who) && !in(f.pkg, p.forTests) {
				say("%s: %s must not import %s", f.name, f.pkg, to)
			}
			return
		}
	}
	if !strings.HasPrefix(to, "golang.org/x/") {
		say("%s: %s is not among the libraries of the plan", f.name, to)
	}
}

// floor returns the number of pkg's floor, or -1.
func (p plan) floor(pkg string) int {
	return slices.IndexFunc(p.floors, func(rooms string) bool { return in(pkg, rooms) })
}

// in reports whether name matches one of the patterns.
func in(name, patterns string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// A source is one file of the tree.
type source struct {
	*ast.File
	name, pkg string
	test      bool
}
