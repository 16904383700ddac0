package owner

import "strings"

// Managers of containers have cgroups by which they can be told. Where they leave
// cgroups to systemd they name a scope, else a directory.
var scopes = [...]struct{ prefix, manager string }{
	{"docker-", "docker"}, {"libpod-", "podman"}, {"cri-containerd-", "containerd"}, {"crio-", "cri-o"}, {"buildkit-", "buildkit"},
}

var directories = map[string]string{"docker": "docker", "libpod_parent": "podman", "containerd": "containerd", "buildkit": "buildkit"}

// Container names the container that a cgroup is of, as in "docker 0123456789ab" or
// "lxc web", or "" if it is of none that is known. IDs are cut as their managers show
// them. Who may make cgroups may give them such names.
func Container(cgroup string) string {
	parts := strings.Split(strings.Trim(cgroup, "/"), "/")
	for i := len(parts) - 1; i >= 0; i-- { // the innermost
		if c := container(parts[:i], parts[i]); c != "" {
			return c
		}
	}
	return ""
}

// container is Container of the directory at the end of a path, above being the ones
// that lead to it.
func container(above []string, dir string) string {
	name, scope := strings.CutSuffix(dir, ".scope")
	for _, s := range scopes {
		if id, ok := strings.CutPrefix(name, s.prefix); ok && isID(id) {
			return managed(above, s.manager, id)
		}
	}
	parent := ""
	if len(above) > 0 {
		parent = above[len(above)-1]
	}
	if isID(dir) {
		return managed(above, directories[parent], dir)
	}
	if name, ok := strings.CutPrefix(dir, "lxc.payload."); ok && name != "" {
		return "lxc " + name
	}
	if parent == "lxc" && dir != "" {
		return "lxc " + dir
	}
	if name, ok := strings.CutPrefix(name, "machine-"); ok && scope && name != "" {
		return "machine " + name
	}
	if name, ok := strings.CutPrefix(strings.TrimSuffix(dir, ".service"), "systemd-nspawn@"); ok && name != "" {
		return "nspawn " + name
	}
	return ""
}

// managed is a container with an ID. Those of a pod are known by who has it made.
func managed(above []string, manager, id string) string {
	for _, dir := range above {
		if strings.HasPrefix(dir, "kubepods") {
			manager = "kubernetes"
		}
	}
	if manager == "" {
		return ""
	}
	const shown = 12
	return manager + " " + id[:shown]
}

// isID reports whether s is an ID of a container.
func isID(s string) bool {
	return len(s) == 64 && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// Unit names the unit of systemd that a cgroup is of, as in "ssh.service"; "" if it is
// of none. Those of a person's own are within those of the system: the innermost is
// meant.
func Unit(cgroup string) string {
	parts := strings.Split(strings.Trim(cgroup, "/"), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		for _, kind := range [...]string{".service", ".scope", ".socket", ".mount"} {
			if name, ok := strings.CutSuffix(parts[i], kind); ok && name != "" {
				return parts[i]
			}
		}
	}
	return ""
}

// cgroupIn finds in what /proc says of a process (proc_pid_cgroup(5)) the path of its
// cgroup of version 2. Where that says nothing the one of version 1 is taken that
// tells of a container, or else systemd's.
func cgroupIn(text string) string {
	unified, old := "", ""
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		path := parts[2]
		switch {
		case parts[0] == "0" && parts[1] == "":
			unified = path
		case path == "/":
		case Container(path) != "" && Container(old) == "", parts[1] == "name=systemd" && old == "":
			old = path
		}
	}
	if unified == "" || unified == "/" && old != "" {
		return old
	}
	return unified
}
