package main

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"transom/platform/rootless"
	"transom/platform/trust"
)

// trustInside has the program trust the authority, as far as that can be had by
// variables and by files that it alone finds. What belongs nowhere else takes the
// place of the authority's directory, whose key the program then can't find.
func (f *runFlags) trustInside(log *slog.Logger, r *rights) error {
	a, err := openAuthority(f.caDir, r)
	if err != nil {
		return err
	}
	m, err := r.machine()
	if err != nil {
		return err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(a.Info().Path))
	if err != nil {
		return err
	}
	o, err := trust.Inside(m, a.Root(), dir)
	if err != nil {
		return err
	}
	f.made = a.Info().Made
	f.program.Env = withEnv(f.program.Env, o.Env)
	f.program.Hide = []string{dir}
	f.program.put(filepath.Join(dir, "shell"))
	for _, file := range o.Files {
		f.program.Files = append(f.program.Files, rootless.File{Path: file.Path, Data: file.Data, Private: file.Private})
	}
	for _, missed := range o.Missed {
		log.Info("not everything will trust transom", "why", missed)
	}
	return nil
}

// withEnv returns env with variables set, in place of those of the same name.
func withEnv(env, set []string) []string {
	name := func(v string) string { n, _, _ := strings.Cut(v, "="); return n }
	kept := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return slices.ContainsFunc(set, func(s string) bool { return name(s) == name(v) })
	})
	return append(kept, set...)
}
