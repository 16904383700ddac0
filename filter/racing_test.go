//go:build race

package filter_test

// racing says that pools forget at random, as package regexp's do.
const racing = true
