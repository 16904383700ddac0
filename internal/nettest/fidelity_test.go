package nettest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// A visitor is a program, or a library, that visits the origin. It works
// through its scenarios one after the other.
type visitor struct {
	name   string
	needs  []string
	module string // of Python
	// visit prints lines that begin with the name of a scenario: what the client
	// got to see.
	visit func(w *world, v visiting) string
	// guesses says that it opens connections in advance, in a race with those
	// that it waits for: the ones on which it asks nothing do not count.
	guesses bool
	// pools says that it has more connections than it needs, and uses them as it
	// happens: its requests count, wherever they are made.
	pools bool
	clear bool // it speaks HTTP/2 without TLS, too
}

// A visiting is what a visitor is told.
type visiting struct {
	scheme string
	cert   string // a file of what to trust
	http2  bool
	// accepted waits until the origin has accepted so many connections.
	accepted func(int)
}

// host is the server as it stands in a URL.
func (v visiting) host() string { return "10.9.0.2" }

func (v visiting) url(path string) string { return v.scheme + "://" + v.host() + path }

// A visit is what came of it, by scenario.
type visit struct {
	server, client map[string][]string
	conns          map[string]int
}

// TestFidelityHTTP1 has clients visit an origin straight and then through the
// proxy. What the origin sees must be the same, and what the clients see, but
// for the exceptions.
func TestFidelityHTTP1(t *testing.T) {
	var rows results
	t.Run("of", func(t *testing.T) {
		for _, v := range visitors {
			t.Run(v.name, func(t *testing.T) {
				v.need(t)
				w := newWorld(t)
				o := w.origin("http/1.1")
				rows.add(w.compare(o, v, false, "http", "https"))
			})
		}
	})
	t.Logf("what differs between a visit straight and one through the proxy:\n\n%s", rows.table())
}

// TestFidelityHTTP2 is the same in HTTP/2. It is not compared how it is cut into
// frames.
func TestFidelityHTTP2(t *testing.T) {
	var rows results
	t.Run("of", func(t *testing.T) {
		for _, v := range visitors2 {
			t.Run(v.name, func(t *testing.T) {
				v.need(t)
				w := newWorld(t)
				o := w.origin("h2", "http/1.1")
				schemes := []string{"https"}
				if v.clear {
					schemes = append(schemes, "http")
				}
				rows.add(w.compare(o, v, true, schemes...))
			})
		}
	})
	t.Logf("what differs between a visit straight and one through the proxy:\n\n%s", rows.table())
}

// maxVisits is how often a visitor goes either way where a visit differs.
const maxVisits = 3

// compare has v visit o straight and through the proxy. What is a race without a
// proxy has more than one outcome: where the two ways differ, both are gone
// again, and they count as the same if they have an outcome in common.
func (w *world) compare(o *origin, v visitor, http2 bool, schemes ...string) []row {
	w.t.Helper()
	var straight, through []map[string]visit
	for {
		straight = append(straight, w.visits(o, v, w.authority.file, http2, schemes))
		w.redirect("80,443")
		if through == nil {
			w.transom("--json")
		}
		through = append(through, w.visits(o, v, w.trusted(), http2, schemes))
		var rows []row
		open := false
		for _, scheme := range schemes {
			for _, r := range w.differences(v, http2, scheme, byScheme(straight, scheme), byScheme(through, scheme), len(through) == maxVisits) {
				rows = append(rows, r)
				open = open || r.server == differs || r.seen == differs
			}
		}
		if !open || len(through) == maxVisits {
			return rows
		}
		w.must(w.Gateway, "iptables", "-t", "nat", "-F", "PREROUTING")
		w.must(w.Gateway, "ip6tables", "-t", "nat", "-F", "PREROUTING")
	}
}

// visits has v visit o once by each scheme.
func (w *world) visits(o *origin, v visitor, cert string, http2 bool, schemes []string) map[string]visit {
	w.t.Helper()
	got := map[string]visit{}
	for _, scheme := range schemes {
		got[scheme] = w.visit(o, v, visiting{scheme: scheme, cert: cert, http2: http2})
	}
	return got
}

func byScheme(visits []map[string]visit, scheme string) (list []visit) {
	for _, v := range visits {
		list = append(list, v[scheme])
	}
	return list
}

// visit has v visit o once.
func (w *world) visit(o *origin, v visitor, how visiting) visit {
	w.t.Helper()
	got := visit{server: map[string][]string{}, client: map[string][]string{}, conns: map[string]int{}}
	var said string
	how.accepted = o.accepted()
	conns := o.visit(func() { said = v.visit(w, how) })
	for line := range strings.Lines(said) {
		scenario, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		got.client[scenario] = append(got.client[scenario], short(masked(text)))
	}
	slices.Sort(got.client["parallel"])
	var lines [][]string
	for _, c := range conns {
		if c.scenario == "" && v.guesses {
			continue
		}
		lines = append(lines, append([]string{c.scenario}, c.lines()...))
	}
	if v.pools {
		lines = requests(lines)
	}
	slices.SortStableFunc(lines, func(a, b []string) int {
		if strings.HasPrefix(a[0], "parallel") {
			return slices.Compare(a, b)
		}
		return strings.Compare(a[0], b[0])
	})
	for _, of := range lines {
		got.conns[of[0]]++
		got.server[of[0]] = append(got.server[of[0]], fmt.Sprintf("number %d", got.conns[of[0]]))
		got.server[of[0]] = append(got.server[of[0]], of[1:]...)
	}
	return got
}

// requests takes connections of HTTP/1 apart into requests, in an order.
func requests(conns [][]string) [][]string {
	var reqs [][]string
	for _, lines := range conns {
		for _, line := range lines[2 : len(lines)-1] {
			if strings.HasSuffix(line, ` HTTP/1.1\r\n"`) {
				reqs = append(reqs, []string{lines[0]})
			}
			reqs[len(reqs)-1] = append(reqs[len(reqs)-1], line)
		}
	}
	slices.SortFunc(reqs, slices.Compare)
	return reqs
}

// differences compares two visits, and fails the test for each difference that
// no exception explains.
func (w *world) differences(v visitor, http2 bool, scheme string, straight, through []visit, tell bool) []row {
	w.t.Helper()
	var rows []row
	names := map[string][]string{}
	for _, one := range slices.Concat(straight, through) {
		maps.Copy(names, one.server)
		maps.Copy(names, one.client)
	}
	server := func(v visit) map[string][]string { return v.server }
	client := func(v visit) map[string][]string { return v.client }
	for _, scenario := range slices.Sorted(maps.Keys(names)) {
		r := row{client: v.name, scheme: scheme, scenario: scenario, conns: straight[0].conns[scenario]}
		at := where{client: v.name, scheme: scheme, scenario: scenario, http2: http2}
		r.server = w.judge(at.seenBy("server"), straight, through, server, tell)
		r.seen = w.judge(at.seenBy("client"), straight, through, client, tell)
		rows = append(rows, r)
	}
	return rows
}

// differs is said of what has no outcome in common, and no excuse.
const differs = "DIFFERS"

// judge compares what one side saw, and says it in a word. What differs fails
// the test if tell is set.
func (w *world) judge(at where, straight, through []visit, side func(visit) map[string][]string, tell bool) string {
	w.t.Helper()
	best := differs
	var diff []string
	for _, a := range straight {
		for _, b := range through {
			diff = difference(side(a)[at.scenario], side(b)[at.scenario])
			switch verdict := at.verdict(diff); {
			case verdict == "same":
				return verdict
			case verdict != differs:
				best = verdict
			}
		}
	}
	if best == differs && tell {
		w.t.Errorf("%v: straight -, through the proxy +\n%s", at, strings.Join(diff, "\n"))
	}
	return best
}

// verdict is what is to be said of a difference: nothing, the exceptions that
// excuse it, or that it is one.
func (at where) verdict(diff []string) string {
	if len(diff) == 0 {
		return "same"
	}
	var why []string
	for _, line := range diff {
		n := at.excused(line)
		if n == 0 {
			return differs
		}
		why = append(why, fmt.Sprint("exception ", n))
	}
	slices.Sort(why)
	return strings.Join(slices.Compact(why), ", ")
}

// difference returns the lines of a and b that are not common to both, each
// behind its sign.
func difference(a, b []string) []string {
	common := make([][]int, len(a)+1) // how many lines a[i:] and b[j:] can have in common
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = 1 + common[i+1][j+1]
			}
		}
	}
	var diff []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			diff = append(diff, "- "+a[i])
			i++
		default:
			diff = append(diff, "+ "+b[j])
			j++
		}
	}
	return diff
}

// A row is one line of the table.
type row struct {
	client, scheme, scenario string
	conns                    int
	server, seen             string
}

// table prints rows.
func (rs *results) table() string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	slices.SortStableFunc(rs.rows, func(a, b row) int { return strings.Compare(a.client+" "+a.scheme, b.client+" "+b.scheme) })
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "client\tscheme\tscenario\tconnections\tserver sees\tclient sees")
	for _, r := range rs.rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", r.client, r.scheme, r.scenario, r.conns, r.server, r.seen)
	}
	t.Flush()
	for i, e := range exceptions {
		fmt.Fprintf(&b, "exception %d: %s\n", i+1, e.why)
	}
	return b.String()
}
