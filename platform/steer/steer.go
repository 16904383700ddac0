// Package steer makes a host bring connections to us: it turns a
// platform.Steering into the kernel's packet filter, policy routing and
// settings, and takes all of it back. It decides nothing about what is to be
// brought, and moves no bytes.
//
// What it puts into a Linux kernel is known by its names, so that whoever comes
// after a process that could not clean up finds it:
//
//   - table inet transom, which brings connections to the listener. The kernel
//     removes it the moment the process ends.
//   - table inet transom_lock, of package helper, which does nothing and says which
//     process is at work.
//   - table inet transom_divert, which keeps open connections alive: it touches
//     only packets of sockets that are there. Its chain "was" holds, as
//     comments, what settings were before; there is no file.
//   - table inet transom_closed, if nothing may go past us.
//   - routing table 7890 and the rules 7890 to 7892, of protocol 201, in both
//     families. They concern packets that carry our mark alone.
//   - rules with the comment "transom", at the head of other firewalls' chains
//     at the hooks input and output.
//   - settings below net.ipv4 and net.ipv6.
//   - for the moment of a self-test: interfaces transom-test0 and transom-test1,
//     with a route, and table inet transom_test if it fails.
package steer

import "errors"

// ErrLiving is wrapped by errors that say that a process steers this host's
// packets, and lives.
var ErrLiving = errors.New("another transom steers this host")

// Names of our tables, all of the family inet.
const (
	tableName  = "transom"
	divertName = "transom_divert"
	closedName = "transom_closed"
	testName   = "transom_test"
	wasName    = "was" // the chain of transom_divert that holds settings
)

// number is our routing table, the first of our rules' preferences, and our
// conntrack zone.
const number = 7890

// protocol is who made a rule or route, to the kernel.
const protocol = 201

// mine is the comment of our rules in others' chains.
const mine = "transom"
