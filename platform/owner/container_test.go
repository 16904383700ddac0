package owner_test

import (
	"strings"
	"testing"

	"transom/platform/owner"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestContainer(t *testing.T) {
	for cgroup, want := range map[string][2]string{
		"":                          {"", ""},
		"/":                         {"", ""},
		"/system.slice/ssh.service": {"", "ssh.service"},
		"/user.slice/user-1000.slice/session-2.scope":          {"", "session-2.scope"},
		"/user.slice/user@1000.service/app.slice/a.service":    {"", "a.service"},
		"/system.slice/docker-" + id + ".scope":                {"docker 0123456789ab", "docker-" + id + ".scope"},
		"/docker/" + id:                                        {"docker 0123456789ab", ""},
		"/docker/" + id + "/init":                              {"docker 0123456789ab", ""},
		"/system.slice/docker.service":                         {"", "docker.service"},
		"/docker/" + id + "/docker/" + strings.Repeat("f", 64): {"docker ffffffffffff", ""},
		"/machine.slice/libpod-" + id + ".scope/container":     {"podman 0123456789ab", "libpod-" + id + ".scope"},
		"/machine.slice/libpod-conmon-" + id + ".scope":        {"", "libpod-conmon-" + id + ".scope"},
		"/libpod_parent/" + id:                                 {"podman 0123456789ab", ""},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab.slice/cri-containerd-" + id + ".scope": {"kubernetes 0123456789ab", "cri-containerd-" + id + ".scope"},
		"/kubepods/burstable/pod1234/" + id:                 {"kubernetes 0123456789ab", ""},
		"/system.slice/crio-" + id + ".scope":               {"cri-o 0123456789ab", "crio-" + id + ".scope"},
		"/elsewhere/" + id:                                  {"", ""},
		"/" + id:                                            {"", ""},
		"/lxc.payload.web/system.slice/nginx.service":       {"lxc web", "nginx.service"},
		"/lxc/web":                                          {"lxc web", ""},
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope":    {"machine qemu\\x2d1\\x2dvm", "machine-qemu\\x2d1\\x2dvm.scope"},
		"/machine.slice/systemd-nspawn@web.service/payload": {"nspawn web", "systemd-nspawn@web.service"},
		"/docker/0123":                                      {"", ""},
		"/a/.service":                                       {"", ""},
		"/../../x.scope":                                    {"", "x.scope"},
	} {
		if got := [2]string{owner.Container(cgroup), owner.Unit(cgroup)}; got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
}

// FuzzContainer gives cgroups any name: what is found in it is a part of it.
func FuzzContainer(f *testing.F) {
	for _, s := range []string{"", "/", "/docker/" + id, "/machine.slice/libpod-" + id + ".scope/container", "/lxc.payload.\n/a", "/lxc/\x1b", "/a//.scope/", "/kubepods/x/" + id} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cgroup string) {
		if c := owner.Container(cgroup); c != "" {
			manager, name, ok := strings.Cut(c, " ")
			if !ok || manager == "" || name == "" || !strings.Contains(cgroup, name) {
				t.Errorf("%q: %q", cgroup, c)
			}
		}
		if u := owner.Unit(cgroup); u != "" && (!strings.Contains(cgroup, u) || strings.Contains(u, "/")) {
			t.Errorf("%q: %q", cgroup, u)
		}
	})
}
