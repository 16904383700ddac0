//go:build !race

package pattern_test

const racing = false
