//go:build race

package relay_test

// racing says that pools forget at random, so that leaks of their use show.
const racing = true
