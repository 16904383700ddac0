package segment

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"filippo.io/age"
)

// keyName is the file that has the data key: a file of age, so that age can give it
// another recipient.
const keyName = "key.age"

// ErrKey says that a log is encrypted and can't be read with the key that was given, or
// that one was given and it is not.
var ErrKey = errors.New("the key does not fit")

// A dataKey is what a log is encrypted under. Each segment has a key of its own, made
// of it, the segment's salt and its number.
type dataKey struct{ secret []byte }

const dataKeySize = 32

// derive returns a key for a segment.
func (k *dataKey) derive(h header, use string, size int) []byte {
	info := string(binary.BigEndian.AppendUint64([]byte("transom store segment "+use+" "), h.number))
	b, err := hkdf.Key(sha256.New, k.secret, h.salt[:], info, size)
	if err != nil {
		panic(err) // only a size that is far larger
	}
	return b
}

// loadKey returns the data key of a directory, nil if it is not encrypted and no
// secret was given. If create is set and nothing was recorded yet it makes one.
func loadKey(files FS, secret []byte, create bool) (*dataKey, error) {
	names, err := files.List()
	if err != nil {
		return nil, err
	}
	has := slices.Contains(names, keyName)
	switch {
	case len(secret) == 0 && !has:
		return nil, nil
	case len(secret) == 0:
		return nil, fmt.Errorf("%w: it is encrypted: give the key that %s was made with", ErrKey, keyName)
	}
	who, err := parseSecret(secret)
	if err != nil {
		return nil, err
	}
	switch recorded := slices.ContainsFunc(names, func(name string) bool { _, ok := numberOf(name); return ok }); {
	case has:
		return readKey(files, who.identities)
	case recorded:
		return nil, fmt.Errorf("%w: what was recorded in it is not encrypted: go on without a key, or choose another directory", ErrKey)
	case !create:
		return nil, nil
	}
	return makeKey(files, who.recipients)
}

// people is who can open a key file.
type people struct {
	identities []age.Identity
	recipients []age.Recipient
}

// Work that a passphrase costs, as a power of two: 64 MiB of memory for a new key
// file, and at most 256 for one that age has made.
const (
	passphraseWork    = 16
	passphraseMaxWork = 18
)

// parseSecret reads identities as age-keygen writes them, or else a passphrase: the
// first line.
func parseSecret(secret []byte) (p people, err error) {
	if !bytes.Contains(secret, []byte("AGE-SECRET-KEY-")) {
		line, _, _ := strings.Cut(string(secret), "\n")
		return parsePassphrase(strings.TrimRight(line, "\r"))
	}
	p.identities, err = age.ParseIdentities(bytes.NewReader(secret))
	if err != nil {
		return p, fmt.Errorf("read the key of the store: %w", err)
	}
	for _, i := range p.identities {
		switch i := i.(type) {
		case *age.X25519Identity:
			p.recipients = append(p.recipients, i.Recipient())
		case *age.HybridIdentity:
			p.recipients = append(p.recipients, i.Recipient())
		}
	}
	return p, nil
}

func parsePassphrase(text string) (people, error) {
	recipient, err := age.NewScryptRecipient(text)
	if err != nil {
		return people{}, fmt.Errorf("the key of the store is an empty passphrase: %w", err)
	}
	recipient.SetWorkFactor(passphraseWork)
	identity, err := age.NewScryptIdentity(text)
	if err != nil {
		return people{}, err
	}
	identity.SetMaxWorkFactor(passphraseMaxWork)
	return people{[]age.Identity{identity}, []age.Recipient{recipient}}, nil
}

// maxKeyFile is how long a key file may be.
const maxKeyFile = 64 << 10

// readKey opens the key file.
func readKey(files FS, identities []age.Identity) (*dataKey, error) {
	f, err := files.Open(keyName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := age.Decrypt(io.NewSectionReader(f, 0, maxKeyFile), identities...)
	if err != nil {
		return nil, fmt.Errorf("%w: open %s: %w", ErrKey, keyName, err)
	}
	secret, err := io.ReadAll(io.LimitReader(plain, dataKeySize+1))
	if err == nil && len(secret) != dataKeySize {
		err = fmt.Errorf("it holds %d bytes, not %d", len(secret), dataKeySize)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrKey, keyName, err)
	}
	return &dataKey{secret}, nil
}

// makeKey makes a data key and its file. The file is on disk before anything is
// encrypted.
func makeKey(files FS, recipients []age.Recipient) (*dataKey, error) {
	k := &dataKey{make([]byte, dataKeySize)}
	rand.Read(k.secret) // never fails
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipients...)
	if err == nil {
		if _, err = w.Write(k.secret); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", keyName, err)
	}
	if err := writeFile(files, keyName, sealed.Bytes()); err != nil {
		return nil, fmt.Errorf("write %s: %w", keyName, err)
	}
	return k, nil
}

// writeFile puts a small file on disk, whole or not at all.
func writeFile(files FS, name string, b []byte) error {
	temporary := name + newSuffix
	if err := files.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = files.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, files.Remove(temporary))
	}
	return files.SyncDir()
}
