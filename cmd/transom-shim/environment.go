package main

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// environment is what the program finds of env, the caller's. A program that has
// more rights than its caller but the caller's uid is, for the C library and for
// interpreters, a program like any other: LD_PRELOAD, PYTHONPATH or NODE_OPTIONS
// would have the caller's code run with those rights. So only what is known to be
// harmless passes, and the rest is what the system says of the caller, u.
func environment(env []string, u *user.User) []string {
	clean := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=/bin/sh",
		"PYTHONNOUSERSITE=1", // or Python would load the caller's own modules, from HOME
	}
	var seen []string
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if ok && harmless(name, value) && !slices.Contains(seen, name) {
			seen = append(seen, name)
			clean = append(clean, e)
		}
	}
	return clean
}

// valueMost bounds what passes, in bytes.
const valueMost = 256

// harmless reports whether a variable passes: about the terminal, the language and
// the time, and no path in it, since the files that these are found in would be
// the caller's then.
func harmless(name, value string) bool {
	switch name {
	case "TERM", "COLORTERM", "NO_COLOR", "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME":
		return len(value) <= valueMost && !strings.ContainsAny(value, "/%")
	case "TZ": // Europe/Berlin, and not a file elsewhere: musl reads ./zone from where the caller stands
		return len(value) <= valueMost && !strings.ContainsAny(value[:min(1, len(value))], "/:.") && !strings.Contains(value, "..")
	}
	return false
}

// caller is whoever called, as the system has them.
func caller() *user.User {
	uid := strconv.Itoa(os.Getuid())
	u, err := user.LookupId(uid)
	if err != nil {
		return &user.User{Username: uid, HomeDir: "/"} // nobody the system knows
	}
	return u
}
