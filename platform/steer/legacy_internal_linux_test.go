package steer

import (
	"encoding/binary"
	"strconv"
	"testing"

	"transom/platform/nft"
)

// legacyEntry makes a rule of IPv4.
func legacyEntry(match, target string, data ...uint32) []byte {
	part := func(name string, revision byte, data []uint32) []byte {
		b := make([]byte, 32, 64)
		copy(b[2:], name)
		b[31] = revision
		for _, d := range data {
			b = binary.NativeEndian.AppendUint32(b, d)
		}
		binary.NativeEndian.PutUint16(b, uint16(len(b)))
		return b
	}
	b := make([]byte, 112)
	if match != "" {
		b = append(b, part(match, 1, data[:3])...)
		data = data[3:]
	}
	at := len(b)
	b = append(b, part(target, 0, data)...)
	binary.NativeEndian.PutUint16(b[88:], uint16(at))
	binary.NativeEndian.PutUint16(b[90:], uint16(len(b)))
	return b
}

// FuzzLegacyRules reads what no kernel has written.
func FuzzLegacyRules(f *testing.F) {
	drop, accept := ^uint32(0), ^uint32(1)
	marked := legacyEntry("mark", "", 0x10, 0x70, 0, accept)
	f.Add(legacyEntry("", "", drop), uint16(0), uint16(0))
	f.Add(append(marked, legacyEntry("", "", drop)...), uint16(0), uint16(len(marked)))
	f.Add(append(marked[:90:90], 0, 0, 1), uint16(0), uint16(200))
	f.Fuzz(func(t *testing.T, rules []byte, first, policy uint16) {
		for _, family := range legacyFamilies {
			l := &legacyTable{family, map[nft.Hook]int{nft.Input: int(first)}, map[nft.Hook]int{nft.Input: int(policy)}, rules}
			l.drops(nft.Input, 0x10, 0x70) // ends, and within the rules
			w := walk{&leaving{ipv6: l.ipv6()}, l.readings, map[string]passed{}}
			w.chain(strconv.Itoa(int(first)), 0)
		}
	})
}

func TestLegacyRules(t *testing.T) {
	drop, accept, jump := ^uint32(0), ^uint32(1), uint32(400)
	policy := legacyEntry("", "", drop)
	for name, tt := range map[string]struct {
		before []byte // the policy
		drops  bool
	}{
		"policy":           {nil, true},
		"our-mark":         {legacyEntry("mark", "", 0x10, 0x70, 0, accept), false},
		"part-of-our-mark": {legacyEntry("mark", "", 0x10, 0x10, 0, accept), false},
		"another-mark":     {legacyEntry("mark", "", 0x20, 0x70, 0, accept), true},
		"more-than-ours":   {legacyEntry("mark", "", 0x10, 0xff, 0, accept), true},
		"not-our-mark":     {legacyEntry("mark", "", 0x10, 0x70, 1, accept), true},
		"our-mark-dropped": {legacyEntry("mark", "", 0x10, 0x70, 0, drop), true},
		"all":              {legacyEntry("", "", accept), false},
		"a-chain":          {legacyEntry("", "", jump), true},
		"reject":           {legacyEntry("", "REJECT", 0), true},
	} {
		t.Run(name, func(t *testing.T) {
			at := map[nft.Hook]int{nft.Input: len(tt.before)}
			l := &legacyTable{legacyFamilies[0], map[nft.Hook]int{}, at, append(tt.before, policy...)}
			if got := l.drops(nft.Input, 0x10, 0x70); got != tt.drops {
				t.Errorf("drops: %v", got)
			}
		})
	}
}
