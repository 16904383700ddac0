package sandbox

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Drop gives up every right that the process can do without once its files and
// listeners are open, on all threads and for good:
//
//  1. no program started from here gains anything (no_new_privs, bounding set)
//  2. groups, gid and uid become those of o.User
//  3. no capability is left
//  4. files are opened by o.Read and o.Write alone (Landlock)
//  5. of system calls those are left that a running proxy makes (seccomp)
//
// Descriptors that are open stay usable. What the kernel lacks of 4 and 5 is in
// the report; an error means that more rights may be left than was asked for,
// and the process must not go on to read what strangers send. Drop is called once.
func Drop(o Options) (Report, error) {
	var r Report
	learn()
	become, why := Self(), ""
	if o.User != nil {
		if become, why = Within(*o.User); why != "" {
			r.missing("the process ", why)
		}
	}
	if err := dropRights(become); err != nil {
		return r, fmt.Errorf("give up the rights of this process: %w", err)
	}
	r.User = become
	if become.UID == 0 {
		r.missing("the process is uid 0 still, though without capabilities: files of root's are its own")
	}
	if err := restrictFiles(o, &r); err != nil {
		return r, fmt.Errorf("restrict files with Landlock: %w", err)
	}
	if err := restrictCalls(&r); err != nil {
		return r, fmt.Errorf("restrict system calls with seccomp: %w", err)
	}
	r.tell(o.Log)
	return r, nil
}

func dropRights(u User) error {
	held, err := Held()
	if err != nil {
		return err
	}
	if err := shrink(held, 0); err != nil {
		return err
	}
	if err := become(u); err != nil {
		return err
	}
	if err := lowerTo(0, 0); err != nil {
		return err
	}
	return verify(0)
}

// become changes groups, gid and uid, in this order: the last takes the right to
// change the others away. The saved ids change too, or there would be a way back.
func become(u User) error {
	if !sameIDs(u.Groups, Self().Groups) {
		if err := syscall.Setgroups(u.Groups); err != nil {
			return fmt.Errorf("set the groups of %s: %w", u, err)
		}
	}
	if err := syscall.Setresgid(u.GID, u.GID, u.GID); err != nil {
		return fmt.Errorf("become gid %d: %w", u.GID, err)
	}
	if err := syscall.Setresuid(u.UID, u.UID, u.UID); err != nil {
		return fmt.Errorf("become uid %d: %w", u.UID, err)
	}
	return nil
}

// learn has the libraries find out now what they find out once and could not
// later: package net whether there is IPv6, by binding sockets (the listener that
// it does so for is refused before it is made) and which interfaces zones of
// addresses may name, and crypto/x509 which roots the system trusts, from wherever
// the environment says that they are. Errors are for who then needs it.
func learn() {
	refused := errors.New("no listener is wanted")
	c := net.ListenConfig{Control: func(string, string, syscall.RawConn) error { return refused }}
	if l, err := c.Listen(context.Background(), "tcp", ":0"); err == nil {
		l.Close()
	}
	_, _ = net.Interfaces()
	_, _ = x509.SystemCertPool()
}
