package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// A Person is whose programs are run, if it isn't who we are.
type Person struct {
	UID, GID int
	Groups   []int
	Home     string
}

// Runs returns a Runner for this machine. What is the person's own runs as they,
// with their home, if own is not nil; the rest as we are. What is run has nothing of our
// environment: a PATH of the system's, and no more.
func Runs(own *Person) Runner {
	return func(ctx context.Context, c Command) ([]byte, error) {
		cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=" + strings.Join(systemPath[:], ":"), "LC_ALL=C"}
		cmd.Stdin = bytes.NewReader(c.Stdin)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		if c.Own && own != nil {
			cmd.Env = append(cmd.Env, "HOME="+own.Home)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(own)}
		}
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, lastLine(said.String(), out.String()))
		}
		return out.Bytes(), err
	}
}

func credential(p *Person) *syscall.Credential {
	c := &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID)}
	for _, g := range p.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// lastLine is the last line of the first text that has one: programs end with what
// went wrong.
func lastLine(texts ...string) string {
	for _, text := range texts {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if last := lines[len(lines)-1]; last != "" {
			return last
		}
	}
	return "it did not say why"
}
