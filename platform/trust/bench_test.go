package trust_test

import (
	"os"
	"testing"

	"transom/ca"
	"transom/platform/trust"
)

// BenchmarkInside is what finding out adds to the start of a program, on this
// machine.
func BenchmarkInside(b *testing.B) {
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		b.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		b.Fatal(err)
	}
	m := &trust.Machine{Home: home, Env: os.Getenv}
	bytes := 0
	for b.Loop() {
		o, err := trust.Inside(m, a.Root(), "/run/transom")
		if err != nil {
			b.Fatal(err)
		}
		bytes = 0
		for _, f := range o.Files {
			bytes += len(f.Data)
		}
	}
	b.ReportMetric(float64(bytes), "laid-over-B")
}
