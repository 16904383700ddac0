package hpack

import "hash/maphash"

// A finder finds entries of a dynamic table by name and by field. Each entry
// links to the one before it in its bucket. Entries leave the table oldest
// first, so a chain ends where it comes to one that has left, and nothing is
// ever unlinked.
type finder struct {
	seed   maphash.Seed // so that nobody can choose names that fall into one bucket
	links  []link       // by number, as the table's ring
	names  []uint64     // number of the newest entry, by hash
	fields []uint64
}

type link struct {
	name, field         uint64 // hashes
	olderName, olderOne uint64 // numbers of the entries before it in the buckets
}

func newFinder() finder { return finder{seed: maphash.MakeSeed()} }

// hash returns the hash of a name and that of the field.
func (f *finder) hash(name, value string) (nameHash, fieldHash uint64) {
	h := maphash.String(f.seed, name)
	return h, (h<<1 | h>>63) ^ maphash.String(f.seed, value)
}

// added takes in the newest entry of t.
func (f *finder) added(t *table) {
	from := t.last
	if n := len(t.ring); n != len(f.links) { // begin anew with another size
		f.links, f.names, f.fields = make([]link, n), make([]uint64, n), make([]uint64, n)
		from = t.last - t.n + 1
	}
	mask := uint64(len(f.links) - 1)
	for i := from; i <= t.last; i++ {
		e := t.at(i)
		name, field := f.hash(e.name, e.value)
		f.links[i&mask] = link{name, field, f.names[name&mask], f.fields[field&mask]}
		f.names[name&mask], f.fields[field&mask] = i, i
	}
}

// field returns the number of the newest entry of t with this name and value,
// or 0.
func (f *finder) field(t *table, name, value string) uint64 {
	if t.n == 0 {
		return 0
	}
	mask := uint64(len(f.links) - 1)
	_, h := f.hash(name, value)
	for i := f.fields[h&mask]; t.has(i); i = f.links[i&mask].olderOne {
		if f.links[i&mask].field == h && *t.at(i) == (entry{name, value}) {
			return i
		}
	}
	return 0
}

// name returns the number of the newest entry of t with this name, or 0.
func (f *finder) name(t *table, name string) uint64 {
	if t.n == 0 {
		return 0
	}
	mask := uint64(len(f.links) - 1)
	h, _ := f.hash(name, "")
	for i := f.names[h&mask]; t.has(i); i = f.links[i&mask].olderName {
		if f.links[i&mask].name == h && t.at(i).name == name {
			return i
		}
	}
	return 0
}
