package view

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
)

const (
	maxQuery   = 1 << 20 // of GraphQL that is parsed
	maxTokens  = 1 << 17
	maxBatched = 64 // operations of one body that are looked at
)

// graphQL prints the query of a request, formatted, with its variables: as it
// is, or in JSON (GraphQL over HTTP, section 5.4).
func graphQL(p *printer, body []byte) error {
	if !isJSON(body) {
		return p.graphQuery(string(body))
	}
	all, err := operations(body)
	if err != nil {
		return faultAt(0, "%v", err)
	}
	for _, o := range all {
		if o.Name != "" {
			p.pair("operation", String, o.Name)
		}
		if err := p.graphQuery(o.Query); err != nil {
			p.note(Fault, "not GraphQL, shown as it is: "+err.Error())
			p.block(Plain, []byte(o.Query))
		}
		for _, part := range []struct {
			name string
			data json.RawMessage
		}{{"variables", o.Variables}, {"extensions", o.Extensions}} {
			if len(part.data) > 0 && string(part.data) != "null" {
				p.heading(part.name)
				p.inside(About{Type: "application/json"}, part.data)
			}
		}
	}
	return nil
}

// An operation is a request for one, in JSON.
type operation struct {
	Query      string          `json:"query"`
	Name       string          `json:"operationName"`
	Variables  json.RawMessage `json:"variables"`
	Extensions json.RawMessage `json:"extensions"`
}

func operations(body []byte) ([]operation, error) {
	if body = bytes.TrimSpace(body); body[0] == '[' {
		var all []operation
		err := json.Unmarshal(body, &all)
		return all, err
	}
	var one operation
	err := json.Unmarshal(body, &one)
	return []operation{one}, err
}

// isGraphQL reports whether body is one or more requests in JSON.
func isGraphQL(body []byte) bool {
	if len(body) > maxQuery || !isJSON(body) || !bytes.Contains(body, []byte(`"query"`)) {
		return false
	}
	all, err := operations(body)
	if err != nil || len(all) == 0 || len(all) > maxBatched {
		return false
	}
	for _, o := range all {
		if !strings.ContainsRune(o.Query, '{') {
			return false
		}
	}
	return true
}

// graphQuery prints one document.
func (p *printer) graphQuery(q string) error {
	if len(q) > maxQuery {
		return faultAt(0, "longer than %d bytes", maxQuery)
	}
	if deepest(q) > maxDepth {
		return faultAt(0, "%w", errDeep)
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: q}, maxTokens)
	if err != nil {
		return faultAt(0, "%v", err)
	}
	var b bytes.Buffer
	formatter.NewFormatter(&b, formatter.WithIndent(""), formatter.WithComments()).FormatQueryDocument(doc)
	p.braced(b.Bytes())
	return nil
}

// braced prints lines as far in as their braces say: the formatter's own blanks
// would be many times the query.
func (p *printer) braced(s []byte) {
	base := p.indent
	defer func() { p.indent = base }()
	for line := range bytes.Lines(s) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("}")) && p.indent > base {
			p.indent--
		}
		p.put(Plain, untab(string(line)))
		if !p.end() {
			return
		}
		if bytes.HasSuffix(line, []byte("{")) {
			p.indent++
		}
	}
}

// deepest returns how many brackets are open at most.
func deepest(q string) int {
	most, open := 0, 0
	for i := range len(q) {
		switch q[i] {
		case '{', '[', '(':
			open++
			most = max(most, open)
		case '}', ']', ')':
			open--
		}
	}
	return most
}
