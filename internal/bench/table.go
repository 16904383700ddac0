package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// printTable prints the medians of the rounds, and for each other peer the
// median of its rounds' ratios: transom's figure over that of the peer in the
// same round.
func printTable(out io.Writer, about []string, results []result, peers []peer) error {
	for _, line := range about {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out)
	us := slices.IndexFunc(peers, func(p peer) bool { return p.name == transom })
	head := []string{"", ""}
	for _, p := range peers {
		head = append(head, p.name)
	}
	for i, p := range peers {
		if us >= 0 && i != us {
			head = append(head, "to "+p.name)
		}
	}
	table := [][]string{head}
	for _, r := range results {
		title := r.title
		for _, row := range r.rows {
			table = append(table, r.line(title, row, len(peers), us))
			title = ""
		}
	}
	_, err := io.WriteString(out, aligned(table))
	return err
}

// aligned writes a table with its first two columns to the left and numbers to
// the right.
func aligned(table [][]string) string {
	width := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range table {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < 2 {
				b.WriteString(cell + pad + "  ")
			} else {
				b.WriteString(pad + cell + "  ")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// line is one line of the table. us is transom's place among the peers, or -1.
func (r result) line(title string, row row, peers, us int) []string {
	cells := []string{title, row.what}
	for i := range peers {
		cells = append(cells, figure(median(r.each(func(s []sample) float64 { return row.value(s[i]) }))))
	}
	for i := range peers {
		if us < 0 || i == us {
			continue
		}
		ratios := r.each(func(s []sample) float64 {
			if row.value(s[i]) == 0 {
				return 0
			}
			return row.value(s[us]) / row.value(s[i])
		})
		cells = append(cells, ratio(ratios))
	}
	return cells
}

// each returns a number for each round.
func (r result) each(of func(s []sample) float64) []float64 {
	var all []float64
	for _, s := range r.rounds {
		all = append(all, of(s))
	}
	return all
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	mid := len(all) / 2
	if len(all)%2 == 0 {
		return (all[mid-1] + all[mid]) / 2
	}
	return all[mid]
}

// figure writes a number with three digits, or more if it is large.
func figure(x float64) string {
	switch {
	case x == 0:
		return "–"
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// ratio writes the median, and between what the rounds were.
func ratio(all []float64) string {
	m := median(all)
	if m == 0 {
		return "–"
	}
	if len(all) == 1 {
		return figure(m)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(m), figure(slices.Min(all)), figure(slices.Max(all)))
}

// about says what was measured on, and whom.
func about(ctx context.Context, peers []peer) []string {
	lines := []string{machine()}
	for _, p := range peers {
		if len(p.version) == 0 {
			continue
		}
		out, err := exec.CommandContext(ctx, p.program, p.version...).Output()
		if err != nil {
			continue // it ran well enough to be measured
		}
		first, _, _ := bytes.Cut(out, []byte("\n"))
		lines = append(lines, string(first))
	}
	return append(lines, "CPU is that of the proxy's process alone. Ratios are transom's figure to the other's, round by round: the median (and the range).")
}

// machine says what is measured on, and when.
func machine() string {
	return fmt.Sprintf("%s, %d processors, %s, %s, %s", time.Now().Format(time.DateOnly), runtime.NumCPU(), processor(), kernel(), runtime.Version())
}

// processor is the name that the kernel has for the first processor.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	_, rest, found := strings.Cut(string(text), "model name\t: ")
	name, _, _ := strings.Cut(rest, "\n")
	if !found {
		return runtime.GOARCH
	}
	return name
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return runtime.GOOS + " " + strings.TrimSpace(string(text))
}

// jsonLines writes an object for each round of each peer.
func jsonLines(w io.Writer) func(m measure, peer string, round int, s sample) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(m measure, peer string, round int, s sample) error {
		figures := map[string]float64{}
		for _, row := range m.rows {
			if x := row.value(s); x != 0 {
				figures[row.what] = x
			}
		}
		return enc.Encode(struct {
			Measure string             `json:"measure"`
			Peer    string             `json:"peer"`
			Round   int                `json:"round"`
			Figures map[string]float64 `json:"figures"`
		}{m.name, peer, round, figures})
	}
}
