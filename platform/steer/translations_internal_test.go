package steer

import (
	"strconv"
	"testing"

	"transom/platform/nft"
)

// TestManyJumps walks through chains that lead to each other in very many ways.
func TestManyJumps(t *testing.T) {
	been := 0
	w := walk{&leaving{}, func(chain string) (list []nft.Reading) {
		if been++; been > 1000 {
			t.Fatal("it goes into chains again and again")
		}
		level, err := strconv.Atoi(chain)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			r := nft.Reading{}
			r.Does.Verdict, r.Does.Chain = "jump", strconv.Itoa(level+1)
			if level == jumpsMax {
				r.Does.Verdict, r.Does.Source = "", true
			}
			list = append(list, r)
		}
		return list
	}, map[string]passed{}}
	if source, over := w.chain("0", 0); source != yes || over != no || been != jumpsMax+1 {
		t.Errorf("source %v, over %v, %d chains", source, over, been)
	}
}
