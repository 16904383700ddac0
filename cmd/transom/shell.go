package main

import (
	"path/filepath"
	"strings"

	"transom/platform/rootless"
)

// promptMark is what a shell's prompt begins with.
const promptMark = "(transom) "

// A shell is a program that a person may talk to.
type shell struct {
	rootless.Program
	person bool // it is one who talks to it
	// dots are files that it reads in place of the person's, by name, in a directory
	// that {dots} stands for in them and in Env.
	dots map[string]string
}

// shellOf is the shell of whoever calls. For a person its prompt shows where it is:
// one that sets that in a file of its own is given a file to read behind that.
// Otherwise it reads what to do from standard input, as any shell does.
func shellOf(env func(string) string, environ []string, person bool) (shell, error) {
	name := env("SHELL")
	if name == "" {
		name = "/bin/sh"
	}
	path, err := lookUp(name)
	if err != nil {
		return shell{}, err
	}
	s := shell{Program: rootless.Program{Path: path, Args: []string{name}, Env: environ}, person: person}
	if !person {
		return s, nil
	}
	switch filepath.Base(path) {
	case "bash":
		s.Hand = []string{bashFile}
		s.Args = append(s.Args, "--rcfile", "/proc/self/fd/{fd:0}", "-i")
	case "zsh":
		s.Env = withEnv(s.Env, []string{"ZDOTDIR={dots}"})
		if dir := env("ZDOTDIR"); dir != "" {
			s.Env = append(s.Env, "_transom_dots="+dir)
		}
		s.dots = map[string]string{".zshenv": zshenvFile, ".zshrc": zshrcFile}
	case "fish":
		s.Args = append(s.Args, "-C", "functions -c fish_prompt __transom_prompt; function fish_prompt; printf '"+promptMark+"'; __transom_prompt; end")
	default:
		s.Env = withEnv(s.Env, []string{"PS1=" + promptMark + "$ "})
	}
	return s, nil
}

// What shells read. Others than us may set the prompt each time it is shown, so that
// it is looked at then.
const (
	bashFile = `[ -f ~/.bashrc ] && . ~/.bashrc
_transom() { case $PS1 in "` + promptMark + `"*) ;; *) PS1="` + promptMark + `$PS1" ;; esac; }
PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND
}_transom"
exec {fd:0}<&-
`
	// zsh has one directory for all of its files, and may be told another in the first.
	zshenvFile = `if [[ -n ${_transom_dots-} ]]; then ZDOTDIR=$_transom_dots; else unset ZDOTDIR; fi
[[ -f ${ZDOTDIR-$HOME}/.zshenv ]] && . ${ZDOTDIR-$HOME}/.zshenv
_transom_dots=${ZDOTDIR-}
ZDOTDIR={dots}
`
	zshrcFile = `if [[ -n $_transom_dots ]]; then ZDOTDIR=$_transom_dots; else unset ZDOTDIR; fi
unset _transom_dots
[[ -f ${ZDOTDIR-$HOME}/.zshrc ]] && . ${ZDOTDIR-$HOME}/.zshrc
_transom() { [[ $PS1 == "` + promptMark + `"* ]] || PS1="` + promptMark + `$PS1" }
precmd_functions+=(_transom)
`
)

// put has the files of a shell in dir, which nobody else sees.
func (s *shell) put(dir string) {
	for name, text := range s.dots {
		s.Files = append(s.Files, rootless.File{Path: filepath.Join(dir, name), Data: []byte(strings.ReplaceAll(text, "{dots}", dir))})
	}
	for i, v := range s.Env {
		s.Env[i] = strings.ReplaceAll(v, "{dots}", dir)
	}
}
