package main

import (
	"path/filepath"

	"transom/platform/rootless"
)

// promptMark is what a shell's prompt begins with.
const promptMark = "(transom) "

// shellOf is the shell of whoever calls, with a prompt that shows where it is. A
// shell that sets its prompt in a file of its own is given a file to read behind
// that.
func shellOf(env func(string) string, environ []string) (rootless.Program, error) {
	name := env("SHELL")
	if name == "" {
		name = "/bin/sh"
	}
	path, err := lookUp(name)
	if err != nil {
		return rootless.Program{}, err
	}
	p := rootless.Program{Path: path, Args: []string{name}, Env: append(environ, "TRANSOM=run")}
	switch filepath.Base(path) {
	case "bash":
		p.Hand = []string{"[ -f ~/.bashrc ] && . ~/.bashrc\nPS1=\"" + promptMark + "$PS1\"\nexec {fd:0}<&-\n"}
		p.Args = append(p.Args, "--rcfile", "/proc/self/fd/{fd:0}", "-i")
	case "fish":
		p.Args = append(p.Args, "-C", "functions -c fish_prompt __transom_prompt; function fish_prompt; printf '"+promptMark+"'; __transom_prompt; end")
	default:
		p.Env = append(p.Env, "PS1="+promptMark+"$ ")
	}
	return p, nil
}
