package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// Within returns u as far as this process can become it: u itself without the
// groups that are out of reach, or else who we are (see Self), and why. The
// reason, "" if u is reached, is for a person to read.
func Within(u User) (User, string) {
	self := Self()
	if u.same(self) {
		return u, ""
	}
	held, err := Held()
	if err != nil {
		return self, err.Error()
	}
	uids, gids := mapped("/proc/self/uid_map"), mapped("/proc/self/gid_map")
	switch {
	case u.UID != self.UID && !held.Has(setuid):
		return self, fmt.Sprintf("stays %s: without cap_setuid it can't become %s", self, u)
	case (u.GID != self.GID || u.UID != self.UID) && !held.Has(setgid):
		return self, fmt.Sprintf("stays %s: without cap_setgid it can't become %s", self, u)
	case !uids(u.UID):
		return self, fmt.Sprintf("stays %s: this user namespace has no uid %d to become", self, u.UID)
	case !gids(u.GID):
		return self, fmt.Sprintf("stays %s: this user namespace has no gid %d to become %s", self, u.GID, u)
	}
	return groupsWithin(u, self, held, gids)
}

// groupsWithin leaves out of u's groups those that this process can't have. It
// can't give up its own either in a user namespace that forbids setgroups; all
// of them are then groups that whoever made the namespace has outside of it.
func groupsWithin(u, self User, held Set, gids func(int) bool) (User, string) {
	deny, _ := os.ReadFile("/proc/self/setgroups")
	if !held.Has(setgid) || strings.TrimSpace(string(deny)) == "deny" {
		if u.same(User{UID: u.UID, GID: u.GID, Groups: self.Groups}) {
			return u, ""
		}
		u.Groups = self.Groups
		return u, fmt.Sprintf("keeps the groups %v: it is not allowed to change them", self.Groups)
	}
	var groups, without []int
	for _, g := range u.Groups {
		if gids(g) {
			groups = append(groups, g)
		} else {
			without = append(without, g)
		}
	}
	u.Groups = groups
	if without != nil {
		return u, fmt.Sprintf("does without the groups %v: this user namespace does not have them", without)
	}
	return u, ""
}

// mapped returns whether this user namespace has an id, by one of its maps. If
// it can't be read, the kernel will tell.
func mapped(path string) func(int) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return func(int) bool { return true }
	}
	return func(id int) bool {
		for line := range strings.Lines(string(b)) {
			var first, outside, count uint64
			if _, err := fmt.Sscan(line, &first, &outside, &count); err == nil && uint64(id) >= first && uint64(id)-first < count {
				return true
			}
		}
		return false
	}
}
