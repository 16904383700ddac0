package tls13

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/tls"
	"errors"

	"golang.org/x/crypto/cryptobyte"

	"transom/internal/proto/sniff"
)

// groups are those we have, the preferred first.
var groups = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// sharedGroup returns the best group of which the client sent a share, and the
// share; nil if there is none.
func sharedGroup(h *sniff.Hello) (group tls.CurveID, share []byte) {
	for _, group := range groups {
		if share := shareOf(h, group); len(share) > 0 {
			return group, share
		}
	}
	return 0, nil
}

// shareOf returns the client's share of a group (RFC 8446, section 4.2.8).
func shareOf(h *sniff.Hello, want tls.CurveID) []byte {
	const extKeyShare = 51
	ext, _ := h.Extension(extKeyShare)
	s := cryptobyte.String(ext)
	var list, share cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return nil
	}
	var group uint16
	for list.ReadUint16(&group) && list.ReadUint16LengthPrefixed(&share) {
		if group == uint16(want) {
			return share
		}
	}
	return nil
}

func curve(group tls.CurveID) ecdh.Curve {
	switch group {
	case tls.CurveP256:
		return ecdh.P256()
	case tls.CurveP384:
		return ecdh.P384()
	case tls.CurveP521:
		return ecdh.P521()
	}
	return ecdh.X25519()
}

// agree does our part of a key exchange, and returns the shared secret and our
// share.
func agree(group tls.CurveID, theirs []byte) (shared, share []byte, err error) {
	if group == tls.X25519MLKEM768 {
		return agreeHybrid(theirs)
	}
	key, err := curve(group).GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	peer, err := curve(group).NewPublicKey(theirs)
	if err != nil {
		return nil, nil, err
	}
	shared, err = key.ECDH(peer)
	return shared, key.PublicKey().Bytes(), err
}

// agreeHybrid is X25519MLKEM768: ML-KEM's part comes first everywhere
// (draft-ietf-tls-ecdhe-mlkem, section 4).
func agreeHybrid(theirs []byte) (shared, share []byte, err error) {
	const size = mlkem.EncapsulationKeySize768
	if len(theirs) != size+32 {
		return nil, nil, errors.New("share of a wrong size")
	}
	key, err := mlkem.NewEncapsulationKey768(theirs[:size])
	if err != nil {
		return nil, nil, err
	}
	secret, sealed := key.Encapsulate()
	shared, share, err = agree(tls.X25519, theirs[size:])
	return append(secret, shared...), append(sealed, share...), err
}
