package trust

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"testing"

	"transom/internal/testnet"
)

// TestP11Kit has p11-kit's real program say what it trusts: one of the system's roots,
// and not ours.
func TestP11Kit(t *testing.T) {
	program, err := exec.LookPath("trust")
	testnet.Need(t, err == nil, "trust, of p11-kit")
	var bundle []byte
	for _, path := range bundles {
		if bundle, err = os.ReadFile(path); err == nil {
			break
		}
	}
	block, _ := pem.Decode(bundle)
	testnet.Need(t, block != nil, "roots of the system's")
	m := &Machine{Run: Runs(nil)}
	for cert, want := range map[*x509.Certificate]bool{{Raw: block.Bytes}: true, testCert(t, "ours"): false} {
		state, err := (&p11kit{m, cert, program}).Check(t.Context())
		if err != nil || state.Trusted != want {
			t.Errorf("%+v, %v, want %v", state, err, want)
		}
	}
}
