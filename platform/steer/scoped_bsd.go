//go:build freebsd || openbsd

package steer

// scoped routes are macOS's.
const scoped = 0
