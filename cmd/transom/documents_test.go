package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A snippet is what a page of the manual has as code: a block of lines, or a span
// within a sentence.
type snippet struct {
	page string
	line int // of the page, that the text begins in
	span bool
	lang string // of a block, if it says
	text string
}

func (s snippet) at(line int) string { return fmt.Sprintf("%s:%d", s.page, s.line+line) }

// snippets are those of README.md, CONTRIBUTING.md and of the pages in docs.
func snippets(t *testing.T) (all []snippet) {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("pages %v: %v", pages, err)
	}
	for _, file := range append(pages, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, snippetsOf(strings.TrimPrefix(file, "../../"), string(text))...)
	}
	return all
}

var (
	fence    = regexp.MustCompile("^( *)```(\\w*)$")
	indented = regexp.MustCompile(`^( {4,})\S`)
	quoted   = regexp.MustCompile("`([^`]+)`")
)

// snippetsOf reads a page in Markdown, as far as ours use it.
func snippetsOf(page, text string) (all []snippet) {
	var prose strings.Builder // with empty lines where there are blocks
	var block *snippet
	end := func() {
		all, block = append(all, *block), nil
	}
	fenced, blank := false, true
	for i, line := range strings.Split(text, "\n") {
		opens := fence.FindStringSubmatch(line)
		switch {
		case fenced && opens != nil:
			fenced = false
			end()
		case fenced:
			block.text += strings.TrimPrefix(line, block.indent(line)) + "\n"
		case opens != nil:
			fenced = true
			block = &snippet{page: page, line: i + 2, lang: opens[2]}
		case block != nil && (line == "" || indented.MatchString(line)):
			block.text += strings.TrimSpace(line) + "\n"
		case block == nil && blank && indented.MatchString(line):
			block = &snippet{page: page, line: i + 1, text: strings.TrimSpace(line) + "\n"}
		default:
			if block != nil {
				end()
			}
			prose.WriteString(line)
		}
		prose.WriteString("\n")
		blank = line == ""
	}
	if block != nil {
		end()
	}
	for _, m := range quoted.FindAllStringSubmatchIndex(prose.String(), -1) {
		span := prose.String()[m[2]:m[3]]
		all = append(all, snippet{
			page: page, line: 1 + strings.Count(prose.String()[:m[2]], "\n"), span: true,
			text: strings.Join(strings.Fields(strings.ReplaceAll(span, `\|`, "|")), " "),
		})
	}
	return all
}

// indent is what a line of a block in a list has before it.
func (s *snippet) indent(line string) string {
	return line[:min(3, len(line)-len(strings.TrimLeft(line, " ")))]
}

// A typedCommand is one of a script, as words; line counts from 0 within its snippet.
type typedCommand struct {
	line  int
	words []string
}

// commandsOf splits a script into its commands, as far as a manual needs it: words
// with quotes, comments, here-documents; without what is redirected.
func commandsOf(script string) (all []typedCommand) {
	var until string // ends a here-document
	var c typedCommand
	end := func() {
		if len(c.words) > 0 {
			all = append(all, c)
		}
		c.words = nil
	}
	for i, line := range strings.Split(script, "\n") {
		if until != "" {
			if strings.TrimSpace(line) == until {
				until = ""
			}
			continue
		}
		if len(c.words) == 0 {
			c.line = i
		}
		continues := strings.HasSuffix(line, `\`)
		skip := false
		for _, w := range shellWords(strings.TrimSuffix(line, `\`)) {
			switch {
			case skip:
				skip = false
			case w == "|" || w == ";" || w == "&" || w == "&&" || w == "||" || w == "(" || w == ")":
				end()
				c.line = i
			case strings.HasPrefix(w, "<<"):
				until = strings.Trim(w, "<'\"-")
			case redirection.MatchString(w):
				skip = strings.HasSuffix(w, ">") || strings.HasSuffix(w, "<")
			default:
				c.words = append(c.words, strings.NewReplacer("\x00", "").Replace(w))
			}
		}
		if !continues {
			end()
		}
	}
	return all
}

var redirection = regexp.MustCompile(`^[0-9]?(>>?|<)`)

// shellWords splits a line. Of a word that was quoted the first byte is NUL, so that
// it is nothing else.
func shellWords(line string) (words []string) {
	var w strings.Builder
	var quote rune
	has := false
	end := func() {
		if has {
			words = append(words, w.String())
		}
		w.Reset()
		has = false
	}
	add := func(r rune) { w.WriteRune(r); has = true }
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			add(r)
		case r == '\'' || r == '"':
			if quote = r; !has {
				add(0)
			}
		case r == '\\' && i+1 < len(runes):
			i++
			add(0)
			add(runes[i])
		case r == ' ' || r == '\t':
			end()
		case r == '#' && !has:
			return words
		case r == '|' && has && i+1 < len(runes) && runes[i+1] != ' ': // a choice
			add(r)
		case strings.ContainsRune("|;&()", r) && !(r == '&' && strings.HasSuffix(w.String(), ">")):
			end()
			sep := string(r)
			if i+1 < len(runes) && runes[i+1] == r && r != '(' && r != ')' {
				sep, i = sep+sep, i+1
			}
			words = append(words, sep)
		default:
			add(r)
		}
	}
	end()
	return words
}

// TestSnippets reads a page.
func TestSnippets(t *testing.T) {
	page := "# x\n\nSay `a b\nc`, and\n\n    one \\\n      two | three 'x | y' >f 2>&1 # four\n\n1. List:\n\n   ```sh\n   nft -f - <<'EOF'\n   table {\n   }\n   EOF\n   last \"\"; end\n   ```\n\n| `k a\\|b` | t |\n"
	var got []string
	for _, s := range snippetsOf("p", page) {
		if s.span {
			got = append(got, s.at(0)+" span "+s.text)
			continue
		}
		for _, c := range commandsOf(s.text) {
			got = append(got, fmt.Sprintf("%s %s %q", s.at(c.line), s.lang, c.words))
		}
	}
	want := `p:6  ["one" "two"]
p:7  ["three" "x | y"]
p:12 sh ["nft" "-f" "-"]
p:16 sh ["last" ""]
p:16 sh ["end"]
p:3 span a b c
p:19 span k a|b`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
