package sandbox

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Caller returns the person who made this process root, by sudo, run0, doas or
// pkexec: they leave who it was in the environment, which env reads. It is
// believed only if we are root, who has nothing to gain from a lie; ok is false
// if we are not, if nothing is said, or if the person was root before.
func Caller(env func(string) string) (u User, ok bool, err error) {
	if os.Geteuid() != 0 {
		return User{}, false, nil
	}
	return caller(env)
}

func caller(env func(string) string) (u User, ok bool, err error) {
	switch {
	case env("SUDO_UID") != "":
		u, err = bySudo(env)
	case env("DOAS_USER") != "":
		if u, err = Lookup(env("DOAS_USER")); err != nil {
			err = fmt.Errorf("DOAS_USER: %w", err)
		}
	case env("PKEXEC_UID") != "":
		if u, err = Lookup(env("PKEXEC_UID")); err != nil {
			err = fmt.Errorf("PKEXEC_UID: %w", err)
		}
	default:
		return User{}, false, nil
	}
	if err != nil || u.UID == 0 {
		return User{}, false, err
	}
	return u, true, nil
}

// bySudo takes what sudo says where the list of users, as far as we can read it,
// has no entry: a user may come from a directory that only the C library asks.
func bySudo(env func(string) string) (User, error) {
	uid, gid := env("SUDO_UID"), env("SUDO_GID")
	n, err := id(uid)
	if err != nil {
		return User{}, fmt.Errorf("SUDO_UID is %q, which is no uid", uid)
	}
	if entry, err := user.LookupId(strconv.Itoa(n)); err == nil {
		return fromEntry(entry)
	}
	u, err := numbers(uid, gid)
	if err != nil {
		return User{}, fmt.Errorf("SUDO_UID and SUDO_GID: %w", err)
	}
	u.Name = env("SUDO_USER")
	return u, nil
}
