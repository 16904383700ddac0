// Package hpack is the compression of HTTP/2's header fields (RFC 7541). Its
// Decoder tells how each field was represented, and its Encoder represents it
// the same way, so that fields leave as they came. It works on whole field
// blocks, and knows neither frames nor what a field means.
package hpack

import "transom/flow"

// defaultSize is what every dynamic table begins with (RFC 9113, section
// 6.5.2).
const defaultSize = 4096

// none is larger than every size of a table that can be owed.
const none = 1 << 32

// A Limit bounds a decoded block. Zero fields are no bound.
type Limit struct {
	Size   int // of all fields, counted as in RFC 9113, section 6.5.2: name, value and 32 each
	Fields int // their number
}

// A Block is one decoded field block.
type Block struct {
	Fields     flow.Header // in wire order, pseudo-header fields included, each with the form it came in
	TableSizes []uint32    // the dynamic table size updates that it began with (section 6.3)
	Size       int         // of all fields as Limit counts, those left out too
	TooLarge   bool        // a Limit was passed: Fields has what came before
}
