// Package mitm reads and writes mitmproxy's flow files. A file is a sequence of dicts in
// tnetstrings, one for each flow, without anything before, between or behind them.
//
// It is compatible with mitmproxy's files and has none of its code. What it leaves out is
// counted; what mitmproxy has no place for is kept in a flow's metadata, see meta.go.
package mitm
