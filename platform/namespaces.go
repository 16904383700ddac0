package platform

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ExplainNamespaces says of a refusal to make user, mount and network namespaces
// what refused it and what to do; instead is what else than to allow them, as in
// "run as root". The refusal's own words come last or not at all: ENOSPC has people
// look for room on disks. An error that is no such refusal is returned as it is.
func ExplainNamespaces(err error, instead string) error {
	return explainNamespaces(err, instead, readSetting)
}

// explainNamespaces is ExplainNamespaces; read returns a kernel setting, "" if
// there is no such setting.
func explainNamespaces(err error, instead string, read func(path string) string) error {
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EACCES) {
		return err
	}
	if is, good, ok := forbidding(read); ok {
		return &explained{fmt.Sprintf("the setting %s forbids it: %s, or allow it for now with: sudo sysctl -w %s", is, instead, good), err}
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("too many namespaces exist: end some programs that use them, or raise user.max_user_namespaces and user.max_net_namespaces with sysctl (%w)", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("the kernel has no user or network namespaces: run as root on a kernel with CONFIG_USER_NS and CONFIG_NET_NS (%w)", err)
	}
	return fmt.Errorf("a security policy forbids it, as that of containers does: run as root outside of a container, or start the container with --privileged (%w)", err)
}

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// NamespacesForbidden returns the setting that forbids programs without rights to make
// user and network namespaces, and the value that allows them.
func NamespacesForbidden() (name, want string, forbidden bool) {
	is, good, forbidden := forbidding(readSetting)
	name, _, _ = strings.Cut(is, "=")
	_, want, _ = strings.Cut(good, "=")
	return name, want, forbidden
}

// forbidding returns a setting that forbids them, as it is and as it should be.
func forbidding(read func(path string) string) (is, good string, ok bool) {
	for _, s := range [...]struct{ path, bad, name, good string }{
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces", "15000"},
		{"/proc/sys/user/max_net_namespaces", "0", "user.max_net_namespaces", "15000"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone", "1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns", "0"},
	} {
		if read(s.path) == s.bad {
			return s.name + "=" + s.bad, s.name + "=" + s.good, true
		}
	}
	return "", "", false
}

func readSetting(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
