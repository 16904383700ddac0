//go:build race

package pattern_test

// racing says that pools forget at random, as package regexp's do.
const racing = true
