package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A User is whom a process runs as.
type User struct {
	Name     string // "" if it has none
	UID, GID int
	Groups   []int  // all it is a member of, GID among them
	Home     string // "" if it has none
}

// String names a user for a person.
func (u User) String() string {
	id := strconv.Itoa(u.UID)
	if u.Name == "" || u.Name == id {
		return "uid " + id
	}
	return u.Name + " (uid " + id + ")"
}

// Config returns the directory of the user's settings, as os.UserConfigDir does for
// who runs the process; "" if there is no home.
func (u User) Config() string {
	switch {
	case u.Home == "":
		return ""
	case runtime.GOOS == "darwin":
		return filepath.Join(u.Home, "Library", "Application Support")
	}
	return filepath.Join(u.Home, ".config")
}

// Lookup finds a user by name or by numeric uid. A uid without an entry in the
// system's list of users needs its group, as in "1000:1000"; it then has no
// other group and no home.
func Lookup(name string) (User, error) {
	if uid, gid, ok := strings.Cut(name, ":"); ok {
		return numbers(uid, gid)
	}
	entry, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		uid, numeric := id(name)
		if numeric != nil {
			return User{}, fmt.Errorf("there is no user %q: give one of /etc/passwd, or numbers as in 1000:1000", name)
		}
		if entry, err = user.LookupId(strconv.Itoa(uid)); errors.As(err, new(user.UnknownUserIdError)) {
			return User{}, fmt.Errorf("uid %d is nobody in /etc/passwd, so its group is unknown: give it too, as in %d:%d", uid, uid, uid)
		}
	}
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", name, err)
	}
	return fromEntry(entry)
}

// numbers makes a user of a uid and a gid. If the uid has an entry it gives the
// name and the home, but no further group.
func numbers(uid, gid string) (User, error) {
	u, err := id(uid)
	if err != nil {
		return User{}, fmt.Errorf("user %s:%s: %q is no uid: give numbers, as in 1000:1000", uid, gid, uid)
	}
	g, err := id(gid)
	if err != nil {
		return User{}, fmt.Errorf("user %s:%s: %q is no gid: give numbers, as in 1000:1000", uid, gid, gid)
	}
	found := User{UID: u, GID: g, Groups: []int{g}}
	if entry, err := user.LookupId(strconv.Itoa(u)); err == nil {
		found.Name, found.Home = entry.Username, entry.HomeDir
	}
	return found, nil
}

// id parses a uid or gid. The largest number means "leave it" to the kernel.
func id(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// fromEntry completes an entry with its groups.
func fromEntry(entry *user.User) (User, error) {
	u := User{Name: entry.Username, Home: entry.HomeDir}
	var err error
	if u.UID, err = id(entry.Uid); err != nil {
		return User{}, fmt.Errorf("user %s: uid %q: %w", u.Name, entry.Uid, err)
	}
	if u.GID, err = id(entry.Gid); err != nil {
		return User{}, fmt.Errorf("user %s: gid %q: %w", u.Name, entry.Gid, err)
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return User{}, fmt.Errorf("groups of user %s: %w", u.Name, err)
	}
	for _, s := range groups {
		g, err := id(s)
		if err != nil {
			return User{}, fmt.Errorf("user %s: group %q: %w", u.Name, s, err)
		}
		u.Groups = append(u.Groups, g)
	}
	if !slices.Contains(u.Groups, u.GID) {
		u.Groups = append(u.Groups, u.GID)
	}
	return u, nil
}

// Self returns who the process runs as (its effective uid). It does not fail:
// a uid that nobody has is a user without a name.
func Self() User {
	u := User{UID: os.Geteuid(), GID: os.Getegid()}
	if entry, err := user.LookupId(strconv.Itoa(u.UID)); err == nil {
		u.Name, u.Home = entry.Username, entry.HomeDir
	}
	u.Groups, _ = os.Getgroups() // none, if it can't be had
	if !slices.Contains(u.Groups, u.GID) {
		u.Groups = append(u.Groups, u.GID)
	}
	return u
}

// same reports whether becoming u changes nothing for o.
func (u User) same(o User) bool {
	return u.UID == o.UID && u.GID == o.GID && sameIDs(u.Groups, o.Groups)
}

// sameIDs compares sets.
func sameIDs(a, b []int) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
