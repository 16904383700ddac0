// Package trust knows what programs on this machine take for roots of trust: the
// system's certificates, the databases of browsers, Java's, the Mac's keychain. It
// says what it would take to have a certificate among them or out of them again,
// does it, and says what to lay over their files for one program alone. It makes no
// certificates, opens no connection, and runs none of the programs it is about.
package trust

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
)

// A Machine is where stores are looked for. The zero Machine but for Run is this
// one, on Linux, without a person whose browsers are meant.
type Machine struct {
	Root   string                   // what all paths begin with; "" is the file system as it is
	Darwin bool                     // a Mac: what it has is a keychain
	Home   string                   // of the person whose browsers, Pythons and JDKs are meant; "" is nobody's
	Env    func(name string) string // their environment; nil is an empty one
	Run    Runner                   // may be nil for Inside
}

// A Runner runs a program of the system's and returns what it prints to standard
// output. An error of a program that ran has what it said.
type Runner func(ctx context.Context, c Command) ([]byte, error)

// A Command is a program to run.
type Command struct {
	Args  []string // the program first, by its path
	Stdin []byte
	Own   bool // as the person whose Home it is, if we are root
}

// A Store is one place where roots of trust are kept. What its methods return are
// facts and intentions: a store is changed by Machine.Do alone.
type Store interface {
	// Kind is "system", "nss", "java" or "keychain".
	Kind() string
	// Place is where it is, for a person to read.
	Place() string
	// Check says whether the certificate is trusted. An error says why
	// that can't be told, and what to do about it.
	Check(ctx context.Context) (State, error)
	// Trust returns what it takes to have it trusted; nothing if it is.
	Trust(ctx context.Context) ([]Step, error)
	// Untrust returns what it takes to remove what Trust has put, and no
	// more: a certificate that got there otherwise stays.
	Untrust(ctx context.Context) ([]Step, error)
}

// A State is what a store makes of the certificate.
type State struct {
	Trusted bool // programs that use it trust us
	Ours    bool // what is there was put by Trust
}

// Kinds are the kinds of stores, in the order in which they are changed: Java's may
// be made of the system's.
var Kinds = [...]string{"system", "keychain", "java", "nss"}

// Stores finds the stores of a machine that cert could be in.
func (m *Machine) Stores(cert *x509.Certificate) []Store {
	var stores []Store
	if m.Darwin {
		stores = append(stores, &keychain{m, cert})
	} else {
		stores = append(stores, m.system(cert))
	}
	for _, j := range m.javaStores() {
		stores = append(stores, &javaStore{m, cert, j})
	}
	for _, dir := range m.databases() {
		stores = append(stores, &database{m, cert, dir})
	}
	return stores
}

// Label is what a certificate is called in stores: they tell certificates apart by
// it, and we what we have put there.
func Label(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "transom-" + hex.EncodeToString(sum[:4])
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
