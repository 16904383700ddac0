package nettest_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A console is a terminal with an interactive shell behind it.
type console struct {
	t      *testing.T
	front  *os.File
	screen *output
	seen   int // how much of it was expected
}

// console starts a shell in which $T is transom run.
func (r *runner) console() *console {
	r.t.Helper()
	need(r.t, "bash")
	front, tty := newTerminal(r.t)
	defer tty.Close()
	args := append(append([]string{}, r.as...), "bash", "--norc", "--noprofile", "-i")
	cmd := r.command(r.Client, args[0], args[1:]...)
	program := r.transom()
	cmd.Env = append(cmd.Env, "HOME="+r.home, "PS1=prompt> ", "TERM=dumb", "T="+strings.Join(append([]string{program, "run", "-q"}, r.more...), " "), "PATH="+filepath.Dir(program)+":/usr/bin:/bin")
	cmd.Dir = "/" // a prompt may have it, and is to fit a line
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	c := &console{t: r.t, front: front, screen: newOutput()}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(c.screen, front) }) // ends with the terminal, by an error
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		front.Close()
		reading.Wait()
		if r.t.Failed() {
			r.t.Logf("on the screen:\n%s", c.screen)
		}
	})
	c.expect("prompt> ")
	return c
}

// expect waits for text, and forgets what came before its end.
func (c *console) expect(text string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%q on the screen", text), func() bool {
		at := strings.Index(c.screen.String()[c.seen:], text)
		if at >= 0 {
			c.seen += at + len(text)
		}
		return at >= 0
	})
}

func (c *console) types(text string) {
	c.t.Helper()
	if _, err := c.front.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// TestRunConsole has a person at a terminal interrupt, stop and continue programs.
func TestRunConsole(t *testing.T) {
	const interrupt, suspend, end = "\x03", "\x1a", "\x04"
	type step struct{ types, expect string } // what is expected does not stand in what is typed, which is echoed
	tests := map[string][]step{
		"interrupt": {
			{"$T sh -c 'trap \"echo G\"\"OT; exit 5\" INT; echo REA\"\"DY; while :; do sleep 0.1; done'; echo code=$?\n", "READY"},
			{interrupt, "GOT"},
			{"", "code=5"},
		},
		"interrupt-by-default": {
			{"$T sh -c 'echo REA\"\"DY; exec sleep 1000'; echo code=$?\n", "READY"},
			{interrupt, "code=130"},
		},
		"suspend": {
			// A shell that waits by sleeping may be stopped between vfork and exec, and
			// then never stops itself.
			{"$T sh -c 'trap \"echo CONT\"\"INUED\" CONT; sleep 1000 & echo REA\"\"DY; while :; do wait; done'\n", "READY"},
			{suspend, "Stopped"},
			{"\nfg; echo code=$?\n", "CONTINUED"},
			{interrupt, "code=130"},
		},
		"stop": {
			{"$T sh -c 'kill -STOP $$; echo CONT\"\"INUED; exec cat'\n", "Stopped"},
			{"\nfg; echo code=$?\n", "CONTINUED"},
			{"hello\n", "hello\r\nhello"},
			{end, "code=0"},
		},
		"background": {
			{"$T sh -c 'read x; echo GOT-$x' &\n", "prompt> "},
			{"while ! jobs -l | grep 'tty input'; do sleep 0.1; done\n", "Stopped (tty input)"},
			{"fg; echo code=$?\n", "read x"},
			{"abc\n", "GOT-abc"},
			{"", "code=0"},
		},
		"kill": {
			{"$T sh -c 'trap \"echo TER\"\"MED; exit 4\" TERM; echo REA\"\"DY; while :; do sleep 0.1; done' &\n", "READY"},
			{"kill $!; wait $!; echo code=$?\n", "TERMED"},
			{"", "code=4"},
		},
		"shell": {
			{"SHELL=/bin/bash $T\n", "(transom) "},
			{"sh -c 'echo REA\"\"DY; exec sleep 1000'\n", "READY"},
			{suspend, "Stopped"},
			{"disown -a; exit 6\n", "exit\r\n"},
			{"", "prompt> "},
			{"echo code=$?\n", "code=6"},
		},
		"window": {
			{"stty rows 33 cols 77; $T stty size\n", "33 77"},
		},
	}
	for by, runner := range bothWays() {
		for name, steps := range tests {
			t.Run(name+by, func(t *testing.T) {
				r := runner(t)
				c := r.console()
				for _, s := range steps {
					c.types(s.types)
					c.expect(s.expect)
				}
			})
		}
	}
}

// TestRunFullScreen has programs that have the whole screen, and the terminal in their
// own hands: they are stopped and go on, and leave it as it was.
func TestRunFullScreen(t *testing.T) {
	const suspend, escape = "\x1a", "\x1b"
	type step struct{ types, expect string }
	tests := map[string][]step{
		"less": {
			{"seq -f line-%g 500 >$HOME/text; TERM=vt100 $T less $HOME/text; echo code=$?\n", "line-20\r\n"},
			{"G", "line-500"},
			{suspend, "Stopped"},
			{"fg; echo code=$?\n", "line-500"},
			{"q", "code=0"},
		},
		"vim": {
			{"TERM=vt100 $T vim -u NONE -i NONE -n $HOME/text; echo code=$?\n", "New"},
			{"ihello" + escape, "hello"},
			{suspend, "Stopped"},
			{"fg; echo code=$?\n", "hello"},
			{":wq\r", "code=0"},
			{"rev $HOME/text\n", "olleh"},
		},
	}
	for by, runner := range bothWays() {
		for name, steps := range tests {
			t.Run(name+by, func(t *testing.T) {
				need(t, name)
				r := runner(t)
				if by != "" { // the program is not who types
					if err := os.Chmod(r.home, 0o777); err != nil {
						t.Fatal(err)
					}
				}
				c := r.console()
				c.types("stty rows 24 cols 80; stty -a | md5sum\n")
				c.expect("  -\r\n")
				before := c.line()
				for _, s := range steps {
					c.types(s.types)
					c.expect(s.expect)
				}
				c.types("stty -a | md5sum\n")
				c.expect("  -\r\n")
				if after := c.line(); after != before {
					t.Errorf("the terminal was %s and is %s", before, after)
				}
			})
		}
	}
}

// line is the one that ends with what was expected last.
func (c *console) line() string {
	lines := strings.Split(strings.TrimSpace(c.screen.String()[:c.seen]), "\n")
	return lines[len(lines)-1]
}

// TestRunShells has shells show where they are, in front of what their files say.
func TestRunShells(t *testing.T) {
	tests := map[string]struct{ shell, file, text, expect, typed, then string }{
		"bash":         {"bash", ".bashrc", "PS1='mine> '\n", "(transom) mine> ", "echo $TRANSOM x\n", "\nrun x\r\n"},
		"bash-command": {"bash", ".bashrc", "PROMPT_COMMAND='PS1=\"mine> \"'\n", "(transom) mine> ", "", "\n(transom) mine> "},
		"zsh":          {"zsh", ".zshrc", "PS1='mine> '\n", "(transom) mine> ", "echo ${ZDOTDIR-none} x\n", "\nnone x\r\n"},
		"zsh-command":  {"zsh", ".zshrc", "precmd() { PS1='mine> ' }\n", "(transom) mine> ", "", "(transom) mine> "},
		"zsh-env":      {"zsh", ".zshenv", "PS1='none> '; ZDOTDIR=$HOME/z\n", "(transom) z> ", "echo $ZDOTDIR x\n", "/z x\r\n"},
		"fish":         {"fish", ".config/fish/config.fish", "function fish_prompt; echo -n 'mine> '; end\n", "(transom) mine> ", "", ""},
		"sh":           {"sh", ".none", "", "(transom) $ ", "echo $TRANSOM x\n", "run x\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			need(t, tt.shell)
			r := newRunner(t)
			for file, text := range map[string]string{tt.file: tt.text, "z/.zshrc": "PS1='z> '\n"} {
				file = filepath.Join(r.home, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.Command("chown", "-R", r.uid, r.home).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			c := r.console()
			c.types("SHELL=" + find(tt.shell) + " $T; echo code=$?\n")
			c.expect(tt.expect)
			c.types(tt.typed + "\n")
			c.expect(tt.then)
			c.types("exit 3\n")
			c.expect("code=3")
		})
	}
}
