package platform

import (
	"io/fs"
	"syscall"
)

// FileOwner returns whose a file is. ok is false where that is not known.
func FileOwner(info fs.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
