//go:build !linux

package steer

// OwnCgroup returns nothing: there are no cgroups.
func OwnCgroup() (string, error) { return "", nil }
