package store_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
)

// TestDiskBurst: traffic that is fast does not take a multiple of the bound until somebody
// looks, nor all of a small disk, which would never be looked at again.
func TestDiskBurst(t *testing.T) {
	for name, room := range map[string]int64{"much room": 0, "little more than the bound": 20 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := disk.New()
				fs.Room = room
				d := newDisk(t, store.DiskOptions{FS: fs, MaxBytes: 16 << 20, Lossless: true})
				p := make([]byte, 1<<20)
				most := int64(0)
				for i := range 60 {
					rand.NewChaCha8([32]byte{byte(i)}).Read(p)
					w := d.NewBody()
					write(t, w, p)
					put(t, d, httpFlow(id(i), 1, flow.Done, w.Ref()))
					w.Close()
					synctest.Wait() // all that was told to be written is
					most = max(most, d.Stats().Bytes)
				}
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				if s := d.Stats(); most > 19<<20 || s.Evicted < 40 || s.Refused+s.TruncatedBody > 0 || s.Failing {
					t.Errorf("up to %d bytes; %+v", most, s)
				}
			})
		})
	}
}
