package transom_test

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestHouseRefuses plants one bad file at a time in a good tree.
func TestHouseRefuses(t *testing.T) {
	cases := []struct {
		name, file, src string
		want            string // part of the one problem; "" if there is none
	}{
		{"good-tree", "", "", ""},
		{"import-from-above", "flow/up.go", "package flow\n\nimport _ \"transom/exchange\"\n", "flow must not import exchange"},
		{"import-of-the-same-floor", "policy/p.go", "package policy\n\nimport _ \"transom/store\"\n", "policy must not import store"},
		{"arrow-beside", "platform/lab/nft.go", "package lab\n\nimport _ \"transom/platform/nft\"\n", ""},
		{"arrow-beside-turned-round", "platform/nft/lab.go", "package nft\n\nimport _ \"transom/platform/lab\"\n", "platform/nft must not import platform/lab"},
		{"arrow-that-is-never-allowed", "internal/proto/h1/p.go", "package h1\n\nimport _ \"transom/policy\"\n", "internal/proto/h1 may never import policy"},
		{"application-inside-the-library", "app/show/e.go", "package show\n\nimport _ \"transom/internal/engine\"\n", "app/show may never import internal/engine"},
		{"application-on-the-system", "app/show/e.go", "package show\n\nimport _ \"transom/platform/lab\"\n", "app/show may never import platform/lab"},
		{"demo-may-build-a-network", "app/demo/e.go", "package demo\n\nimport _ \"transom/platform/lab\"\n", ""},
		{"tests-import-what-they-like", "flow/up_test.go", "package flow_test\n\nimport _ \"transom/exchange\"\n", ""},
		{"tests-enter-the-testnet", "flow/net_test.go", "package flow_test\n\nimport _ \"transom/internal/testnet\"\n", ""},
		{"others-do-not", "store/net.go", "package store\n\nimport _ \"transom/internal/testnet\"\n", "internal/testnet is for tests only"},
		{"import-of-no-floor", "flow/x.go", "package flow\n\nimport _ \"transom/attic\"\n", "imports attic, which is on no floor"},
		{"package-on-no-floor", "attic/a.go", "// Package attic is not planned.\npackage attic\n", "attic: on no floor"},
		{"name-that-says-nothing", "addon/util/u.go", "// Package util is anything.\npackage util\n", `"util" says nothing`},
		{"empty-room", "addon/rules/rules_test.go", "package rules_test\n", "addon/rules: an empty room"},
		{"room-of-tests", "internal/e2e/e2e_test.go", "package e2e_test\n", ""},

		{"unplanned-library", "flow/x.go", "package flow\n\nimport _ \"example.com/mod/sub\"\n", "not among the libraries"},
		{"library-in-its-room", "cmd/transom/cli.go", "package main\n\nimport _ \"github.com/spf13/cobra\"\n", ""},
		{"library-elsewhere", "flow/x.go", "package flow\n\nimport _ \"github.com/spf13/cobra/doc\"\n", "flow must not import github.com/spf13/cobra/doc"},
		{"test-library-in-code", "flow/x.go", "package flow\n\nimport _ \"pgregory.net/rapid\"\n", "must not import pgregory.net/rapid"},
		{"test-library-in-a-test", "flow/x_test.go", "package flow_test\n\nimport _ \"pgregory.net/rapid\"\n", ""},
		{"system-library-outside-platform", "store/x.go", "package store\n\nimport _ \"golang.org/x/sys/unix\"\n", "store must not import golang.org/x/sys/unix"},
		{"x-library", "store/x.go", "package store\n\nimport _ \"golang.org/x/net/idna\"\n", ""},
		{"cgo", "platform/c.go", "package platform\n\nimport \"C\"\n", "imports C"},
		{"global-log", "store/l.go", "package store\n\nimport _ \"log\"\n", "logs to a global"},
		{"default-slog", "store/l.go", "package store\n\nimport \"log/slog\"\n\nfunc f() { slog.InfoContext(nil, \"\") }\n", "logs to a global"},

		{"system-in-the-name", "capture/open_linux.go", "package capture\n", "depends on the operating system"},
		{"system-and-machine-in-the-name", "capture/open_darwin_arm64.go", "package capture\n", "depends on the operating system"},
		{"system-as-a-word", "capture/linux.go", "package capture\n", ""},
		{"system-as-a-tag", "capture/open.go", "//go:build !(race && openbsd)\n\npackage capture\n", "depends on the operating system"},
		{"tag-of-another-kind", "capture/open.go", "//go:build race\n\npackage capture\n", ""},
		{"system-in-platform", "platform/open_linux.go", "package platform\n", ""},
		{"system-below-platform", "platform/nft/open_linux.go", "package nft\n", ""},
		{"system-of-a-test", "capture/open_linux_test.go", "package capture_test\n", ""},

		{"second-package-comment", "flow/x.go", "// Package flow has two of them.\npackage flow\n", "flow: 2 files have a package comment"},
		{"no-package-comment", "addon/rules/r.go", "package rules\n", "addon/rules: 0 files have a package comment"},
		{"comment-of-another-package", "addon/rules/r.go", "// Rules are rules.\npackage rules\n", `does not begin with "Package rules "`},
		{"comment-of-a-command", "cmd/other/main.go", "// Package main runs.\npackage main\n", `does not begin with "Command other "`},
		{"unformatted", "flow/x.go", "package flow\nfunc  f() {}\n", "not formatted"},
		{"broken", "flow/x.go", "package flow\n\nfunc {\n", "expected 'IDENT'"},
		{"nolint", "flow/x.go", "package flow\n\nfunc f() {} //nolint:unused\n", "has a nolint comment"},
		{"init", "flow/x.go", "package flow\n\nfunc init() {}\n", "has an init function"},
		{"method-called-init", "flow/x.go", "package flow\n\ntype t int\n\nfunc (t) init() {}\n", ""},
		{"sleeping-code", "store/x.go", "package store\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "sleeps"},
		{"sleeping-test", "flow/x_test.go", "package flow\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "sleeps"},
		{"sleeping-in-fake-time", "flow/x_test.go", "package flow\n\nimport (\n\t_ \"testing/synctest\"\n\t\"time\"\n)\n\nfunc f() { time.Sleep(1) }\n", ""},
		{"skip", "flow/x_test.go", "package flow\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Skip() }\n", "skips by itself"},

		{"state", "flow/x.go", "package flow\n\nvar count int\n", "package-level variable count"},
		{"state-in-a-group", "flow/x.go", "package flow\n\nvar (\n\t_     = 1\n\tcount int\n)\n", "package-level variable count"},
		{"state-in-a-map", "flow/x.go", "package flow\n\nvar seen = map[string]bool{}\n", "package-level variable seen"},
		{"state-behind-a-pointer", "flow/x.go", "package flow\n\nvar theOne = &T{}\n", "package-level variable theOne"},
		{"state-of-a-test", "flow/x_test.go", "package flow\n\nvar update = false\n", ""},
		{"sentinel", "flow/x.go", "package flow\n\nimport \"errors\"\n\nvar ErrGone = errors.New(\"gone\")\n", ""},
		{"sentinel-of-its-own-type", "flow/x.go", "package flow\n\nvar errGone = &end{why: 1}\n", ""},
		{"error-to-be-set", "flow/x.go", "package flow\n\nvar errLast error\n", "package-level variable errLast"},
		{"assertion", "flow/x.go", "package flow\n\nvar _ I = (*T)(nil)\n", ""},
		{"table", "flow/x.go", "package flow\n\nvar names = [...]string{\"a\"}\n", ""},
		{"fixed-address", "flow/x.go", "package flow\n\nimport \"net/netip\"\n\nvar any4 = netip.MustParseAddr(\"0.0.0.0\")\n", ""},
		{"pool", "flow/x.go", "package flow\n\nimport \"sync\"\n\nvar pool sync.Pool\n", "package-level variable pool"},
		{"documented-pool", "flow/x.go", "package flow\n\nimport \"sync\"\n\n// pool saves 32 KiB a read.\nvar pool = sync.Pool{}\n", ""},
		{"embedded-file", "app/show/x.go", "package show\n\nimport _ \"embed\"\n\n//go:embed page.html\nvar page string\n", ""},
		{"version", "cmd/transom/v.go", "package main\n\n// version is set by the linker.\nvar version string\n", ""},
		{"ignored-folders", "testdata/x.go", "package bad; func init() {}\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tree := goodTree()
			if c.file != "" {
				tree[c.file] = &fstest.MapFile{Data: []byte(c.src)}
			}
			got := house.check(tree)
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("refused: %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("problems %q, want one that says %q", got, c.want)
			}
		})
	}
}

// goodTree is a small tree that the plan allows.
func goodTree() fstest.MapFS {
	tree := fstest.MapFS{}
	for dir, imports := range map[string]string{
		"flow":              "",
		"exchange":          "transom/flow",
		"platform":          "",
		"platform/nft":      "",
		"platform/lab":      "transom/platform",
		"policy":            "transom/flow",
		"capture":           "transom/platform",
		"store":             "transom/flow",
		"internal/proto/h1": "transom/exchange",
		"internal/engine":   "transom/internal/proto/h1",
		"internal/testnet":  "transom/capture",
		"app/show":          "transom/flow",
		"app/demo":          "transom/app/show",
		"cmd/transom":       "transom/app/demo",
	} {
		name := dir[strings.LastIndex(dir, "/")+1:]
		head := "// Package " + name + " is one room.\npackage " + name + "\n"
		if dir == "cmd/transom" {
			head = "// Command transom is one room.\npackage main\n"
		}
		if imports != "" {
			head += "\nimport _ \"" + imports + "\"\n"
		}
		tree[dir+"/"+name+".go"] = &fstest.MapFile{Data: []byte(head)}
	}
	return tree
}
