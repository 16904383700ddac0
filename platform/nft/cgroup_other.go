//go:build !linux

package nft

func cgroupID(string) (uint64, error) { return 0, unsupported() }
