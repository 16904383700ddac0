package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"transom/app/show"
	"transom/flow"
	"transom/store"
)

func flowsStatsCommand() *cobra.Command {
	var f recordingFlags
	var asJSON, check bool
	hosts := numberFlag{value: 20, max: 1 << 20, name: "NUMBER"}
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Count recorded flows",
		Long:    `stats counts flows, by type and by the host that they went to, and what they carried. With --check it reads all that is recorded in a directory besides, and says what is damaged.`,
		Example: `  transom flows stats --store /var/lib/transom -f '~status 5xx'`,
		Args:    noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	fl.Var(&hosts, "hosts", "how many hosts to name, those with most flows first")
	fl.BoolVar(&asJSON, "json", false, "print one JSON object")
	fl.BoolVar(&check, "check", false, "read all that is in the directory that --store names, and say what is damaged")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		return f.with(cmd, func(from recording, q store.Query) error {
			c := newCount()
			var damage, err error
			if check {
				if damage, err = checked(cmd, from); err != nil {
					return err
				}
			}
			var failed failures
			q.Lacks = failed.lacks
			for x, err := range from.Flows(cmd.Context(), q) {
				if err != nil {
					failed.add(err)
					continue
				}
				c.add(x)
			}
			if c.Store, err = directoryOf(cmd.Context(), from); err != nil {
				return err
			}
			print := c.lines
			if asJSON {
				print = c.json
			} else if int(c.Flows)+failed.n == 0 {
				f.noneTo(cmd, "count")
			}
			return errors.Join(print(cmd.OutOrStdout(), hosts.value), damage, failed.err())
		})
	})
	return cmd
}

// checked reads all of a directory, says what is damaged, and returns how much that is.
func checked(cmd *cobra.Command, from recording) (damage, err error) {
	d, ok := from.(*store.DiskReader)
	if !ok {
		return nil, usagef("--check reads the files of a directory: name one with --store that nobody records to")
	}
	n := 0
	for err := range d.Check(cmd.Context()) {
		fmt.Fprintln(cmd.ErrOrStderr(), "damaged:", err)
		n++
	}
	if n > 0 {
		damage = fmt.Errorf("damaged in %d places", n)
	}
	return damage, cmd.Context().Err()
}

// A count is what stats says.
type count struct {
	Flows  int64             `json:"flows"`
	Open   int64             `json:"open"`
	Failed int64             `json:"failed"`
	Bytes  int64             `json:"bytes"`
	First  time.Time         `json:"first,omitzero"`
	Last   time.Time         `json:"last,omitzero"`
	Types  map[string]*share `json:"types"`
	Hosts  []*share          `json:"hosts"`
	Store  *directory        `json:"store,omitempty"`

	hosts  map[string]*share
	others share // hosts that there was no room for
}

// A share is what is counted of a type or a host.
type share struct {
	Host   string `json:"host,omitempty"`
	Flows  int64  `json:"flows"`
	Failed int64  `json:"failed"`
	Bytes  int64  `json:"bytes"`
}

// maxHosts bounds the hosts that are counted one by one.
const maxHosts = 1 << 17

func newCount() *count { return &count{Types: map[string]*share{}, hosts: map[string]*share{}} }

func (c *count) add(f *flow.Flow) {
	sent := f.Traffic()
	n := sent[0] + sent[1]
	c.Flows++
	c.Bytes += n
	if c.First.IsZero() || f.Start.Before(c.First) {
		c.First = f.Start
	}
	if f.Start.After(c.Last) {
		c.Last = f.Start
	}
	switch f.State {
	case flow.Open:
		c.Open++
	case flow.Failed:
		c.Failed++
	case flow.Done:
	}
	of(c.Types, f.Type()).add(f, n)
	if f.Conn == nil {
		return
	}
	name := f.Conn.Name()
	if c.hosts[name] == nil && len(c.hosts) >= maxHosts {
		c.others.add(f, n)
		return
	}
	of(c.hosts, name).add(f, n)
}

// of returns the share of a name.
func of(m map[string]*share, name string) *share {
	s := m[name]
	if s == nil {
		s = new(share)
		m[name] = s
	}
	return s
}

func (s *share) add(f *flow.Flow, bytes int64) {
	s.Flows++
	s.Bytes += bytes
	if f.State == flow.Failed {
		s.Failed++
	}
}

// most are the hosts with most flows.
func (c *count) most(n int) (list []*share) {
	for name, s := range c.hosts {
		s.Host = name
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *share) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Host, b.Host))
	})
	return list[:min(n, len(list))]
}

func (c *count) json(w io.Writer, hosts int) error {
	c.Hosts = c.most(hosts)
	return json.NewEncoder(w).Encode(c)
}

func (c *count) lines(w io.Writer, hosts int) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "flows\tfailed\ttraffic\t\n")
	row := func(s *share, name string) {
		fmt.Fprintf(tab, "%d\t%d\t%s\t%s\n", s.Flows, s.Failed, show.Size(s.Bytes), name)
	}
	all := fmt.Sprintf("in all, %d of them not ended", c.Open)
	if c.Flows > 0 {
		const form = "2006-01-02 15:04:05"
		all += ", from " + c.First.Local().Format(form) + " to " + c.Last.Local().Format(form)
	}
	row(&share{Flows: c.Flows, Failed: c.Failed, Bytes: c.Bytes}, all)
	for _, name := range slices.Sorted(maps.Keys(c.Types)) {
		row(c.Types[name], name)
	}
	for _, s := range c.most(hosts) {
		row(s, cmp.Or(show.Text(s.Host, 100), "(destination unknown)"))
	}
	if n := len(c.hosts) - hosts; n > 0 {
		fmt.Fprintf(tab, "\t\t\tand %d hosts more\n", n)
	}
	if c.others.Flows > 0 {
		row(&c.others, "of other hosts still")
	}
	if c.Store != nil {
		for _, line := range c.Store.lines() {
			fmt.Fprintln(tab, line)
		}
	}
	return tab.Flush()
}
