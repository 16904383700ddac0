package trust

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// The Mac's programs and its keychain.
const (
	securityProgram = "/usr/bin/security"
	systemKeychain  = "/Library/Keychains/System.keychain"
)

// A keychain is the Mac's keychain of the system, which Safari, Chrome, curl and Go
// ask.
type keychain struct {
	*Machine
	cert *x509.Certificate
}

func (k *keychain) Kind() string  { return Kinds[1] }
func (k *keychain) Place() string { return systemKeychain }

// Check has the system verify the certificate as a server's root would be. Whether
// it lies in the keychain is another question.
func (k *keychain) Check(ctx context.Context) (State, error) {
	found, err := k.Run(ctx, Command{Args: []string{securityProgram, "find-certificate", "-a", "-Z", systemKeychain}, Own: true})
	if err != nil {
		return State{}, err
	}
	there := strings.Contains(strings.ToUpper(string(found)), k.hash())
	if !there {
		return State{}, nil
	}
	_, err = k.Run(ctx, Command{Args: []string{securityProgram, "verify-cert", "-q", "-L", "-l", "-p", "ssl", "-c", k.file()}, Own: true})
	return State{Trusted: err == nil, Ours: len(k.read(k.file())) > 0}, nil
}

// hash is what the keychain knows a certificate by.
func (k *keychain) hash() string {
	sum := sha1.Sum(k.cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// file is the certificate as a file, which the program insists on; that it is there
// says that we have put it into the keychain.
func (k *keychain) file() string {
	return filepath.Join("/Library/Application Support/transom", Label(k.cert)+".pem")
}

func (k *keychain) Trust(ctx context.Context) ([]Step, error) {
	state, err := k.Check(ctx)
	if err != nil || state.Trusted {
		return nil, err
	}
	return []Step{
		{Write: k.file(), Data: encode(k.cert)},
		{Run: Command{Args: []string{securityProgram, "add-trusted-cert", "-d", "-r", "trustRoot", "-k", systemKeychain, k.file()}}},
	}, nil
}

func (k *keychain) Untrust(context.Context) ([]Step, error) {
	if len(k.read(k.file())) == 0 {
		return nil, nil
	}
	return []Step{
		{Run: Command{Args: []string{securityProgram, "remove-trusted-cert", "-d", k.file()}}},
		{Run: Command{Args: []string{securityProgram, "delete-certificate", "-Z", k.hash(), systemKeychain}}},
		{Remove: k.file()},
	}, nil
}
