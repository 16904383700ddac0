package segment_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"transom/store/segment"
)

// numbered is the record with a number: anybody can tell what it has to be.
func numbered(n uint64) segment.Record {
	r := rand.New(rand.NewPCG(n, 1))
	b := binary.LittleEndian.AppendUint64(nil, n)
	for range r.IntN(200) {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return segment.Record{Kind: uint8(1 + n%100), Payload: b}
}

// writeForEver writes numbered records until it is killed, and says on stdout which are
// synced and which segments it is about to remove or to compact. It removes old segments, so that
// there is something to remove, and compacts.
func writeForEver(dir string) error {
	l, err := segment.Open(segment.Options{Dir: dir, SegmentSize: 32 << 10})
	if err != nil {
		return err
	}
	chance := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for n := chance.Uint64(); ; {
		var batch []segment.Record
		for range 1 + chance.IntN(12) {
			batch = append(batch, numbered(n))
			n++
		}
		at, err := l.Append(batch...)
		if err != nil {
			return err
		}
		var line bytes.Buffer
		for i, p := range at {
			fmt.Fprintf(&line, "+ %d %d %d\n", n-uint64(len(at)-i), p.Segment, p.Offset)
		}
		if err := l.Sync(); err != nil {
			return err
		}
		if _, err := os.Stdout.Write(line.Bytes()); err != nil {
			return err
		}
		if infos := l.Segments(); len(infos) > 6 {
			fmt.Printf("- 0 %d 0\n", infos[0].Number)
			if err := l.Remove(infos[0].Number); err != nil {
				return err
			}
			if err := compactOdd(l, infos[2+chance.IntN(3)]); err != nil {
				return err
			}
		}
	}
}

// compactOdd drops the records with odd offsets.
func compactOdd(l *segment.Log, info segment.Info) error {
	if !info.Sealed {
		return nil
	}
	fmt.Printf("/ 0 %d 0\n", info.Number)
	_, err := l.Compact(context.Background(), info.Number, func(p segment.Position, _ uint8, _ int) bool { return p.Offset%2 == 0 }, nil)
	return err
}

// TestKilled kills the writer 200 times, and looks for what it has called synced.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	chance := rand.New(rand.NewPCG(1, 2))
	owed := map[segment.Position]uint64{}
	total := 0
	for range 200 {
		total += killed(t, dir, owed, chance)
		look(t, dir, owed)
	}
	t.Logf("%d records were synced", total)
}

// killed starts a writer, kills it, and keeps account of what it said.
func killed(t *testing.T, dir string, owed map[segment.Position]uint64, chance *rand.Rand) (synced int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actVariable+"=write "+dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	left := 1 + chance.IntN(150)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var what string
		var n uint64
		var p segment.Position
		if _, err := fmt.Sscan(lines.Text(), &what, &n, &p.Segment, &p.Offset); err != nil {
			break // cut short by the kill
		}
		switch what {
		case "+":
			owed[p] = n
			synced++
		case "-":
			maps.DeleteFunc(owed, func(q segment.Position, _ uint64) bool { return q.Segment == p.Segment })
		case "/":
			maps.DeleteFunc(owed, func(q segment.Position, _ uint64) bool { return q.Segment == p.Segment && q.Offset%2 != 0 })
		}
		if left--; left == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if left > 0 {
		t.Fatalf("the writer has ended by itself: %s", &said)
	}
	return synced
}

// look reads what is owed.
func look(t *testing.T, dir string, owed map[segment.Position]uint64) {
	t.Helper()
	r, err := segment.OpenReader(segment.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	missing := maps.Clone(owed)
	var damage *segment.Damage
	for at, err := range r.Scan(context.Background(), segment.Position{}) {
		if err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		}
		if err != nil {
			continue
		}
		n, known := owed[at.Position]
		if !known {
			n = binary.LittleEndian.Uint64(at.Payload)
		}
		if want := numbered(n); at.Kind != want.Kind || !bytes.Equal(at.Payload, want.Payload) {
			t.Fatalf("%v is not record %d", at.Position, n)
		}
		delete(missing, at.Position)
	}
	if len(missing) > 0 {
		t.Fatalf("%d synced records are missing: %v", len(missing), missing)
	}
}
