package platform

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestExplainNamespaces(t *testing.T) {
	tests := map[string]struct {
		err      error
		settings map[string]string
		want     string
	}{
		"max-user":  {syscall.ENOSPC, map[string]string{"/proc/sys/user/max_user_namespaces": "0"}, "user.max_user_namespaces=0"},
		"debian":    {syscall.EPERM, map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"},
		"ubuntu":    {syscall.EACCES, map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1", "/proc/sys/user/max_user_namespaces": "9"}, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		"container": {syscall.EPERM, nil, "--privileged"},
		"full":      {syscall.ENOSPC, nil, "too many namespaces"},
		"kernel":    {syscall.EINVAL, nil, "CONFIG_USER_NS"},
		"other":     {syscall.ENOENT, map[string]string{"/proc/sys/user/max_user_namespaces": "0"}, syscall.ENOENT.Error()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := explainNamespaces(tt.err, "run as root", func(path string) string { return tt.settings[path] })
			if at := strings.Index(err.Error(), "no space left"); at == 0 || at > 0 && len(tt.settings) > 0 {
				t.Errorf("%v: what to do does not come first", err)
			}
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %v in its chain and %q in its text", err, tt.err, tt.want)
			}
		})
	}
}
