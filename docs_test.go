package transom_test

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinks follows the links between the project's documents, to files and to
// headings.
func TestLinks(t *testing.T) {
	tree := os.DirFS(".")
	pages := documents(t, tree)
	link := regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if to.IsAbs() {
				continue // tests use no internet
			}
			name := page
			if to.Path != "" {
				name = path.Join(path.Dir(page), to.Path)
			}
			if _, err := fs.Stat(tree, name); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			} else if to.Fragment != "" && !slices.Contains(headings(pages[name]), to.Fragment) {
				t.Errorf("%s: link to %s: there is no such heading", page, m[1])
			}
		}
	}
	for page := range pages {
		if strings.HasPrefix(page, "docs/") && !strings.Contains(pages["README.md"], "]("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
}

// documents returns the texts of all Markdown files in the root and in docs.
func documents(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := fs.Glob(tree, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(tree, name)
			if err != nil {
				t.Fatal(err)
			}
			pages[name] = string(b)
		}
	}
	return pages
}

// headings returns the names by which links refer to the headings of a page:
// in small letters, with hyphens for spaces, and without punctuation.
func headings(text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
