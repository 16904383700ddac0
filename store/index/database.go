package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"transom/filter"
	"transom/store/segment"
)

// All SQL stands here. SQLite keeps blobs by number, and sees to it that what is
// written together is there together; what is in them the rest of the package knows.

const (
	application = 0x54524e58 // says that a file is ours
	version     = 1          // of the tables and of how columns are packed

	pageSize = 8 << 10
	// A writer that finds the file locked waits this long for another program.
	patience = 5 * time.Second
)

const schema = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE block (number INTEGER PRIMARY KEY, head BLOB NOT NULL, dead BLOB);
CREATE TABLE part (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE bodies (page INTEGER PRIMARY KEY, low INTEGER NOT NULL, up INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE run (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE term (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
`

// A database is the file, by a connection that writes and a few that read.
type database struct {
	path  string
	write *sql.DB
	read  *sql.DB // the same one in memory
}

// openDatabase opens a file, and makes the tables in a new one.
func openDatabase(path string, readOnly bool) (*database, error) {
	d := &database{path: path}
	if path == "" {
		var err error
		if d.write, err = sql.Open("sqlite", "file::memory:?_pragma=page_size(8192)&_pragma=cache_size(-2048)&_pragma=temp_store(memory)"); err != nil {
			return nil, fmt.Errorf("open index in memory: %w", err)
		}
		d.write.SetMaxOpenConns(1)
		d.read = d.write
		return d, d.begin()
	}
	fresh, err := d.touch(readOnly)
	if err != nil {
		return nil, err
	}
	if d.write, err = sql.Open("sqlite", dsn(path, readOnly, "cache_size(-2048)", "synchronous(normal)")); err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn(path, readOnly, "cache_size(-1024)", "query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: %w", path, err), d.write.Close())
	}
	d.read.SetMaxOpenConns(2)
	if fresh {
		err = d.begin()
	} else {
		err = d.check()
	}
	if err == nil && !readOnly {
		err = d.journal()
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// dsn is how the driver is told of a file. Nothing is mapped into memory but what WAL
// needs: a file that somebody cuts would end the process.
func dsn(path string, readOnly bool, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	if readOnly {
		q.Set("mode", "ro")
	}
	pragmas = append(pragmas, fmt.Sprintf("page_size(%d)", pageSize), "mmap_size(0)", "temp_store(memory)", fmt.Sprintf("busy_timeout(%d)", patience.Milliseconds()))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// touch makes the file, for its owner only: SQLite gives the files beside it the same
// mode. It reports whether there is nothing in it.
func (d *database) touch(readOnly bool) (fresh bool, err error) {
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(d.path, flags, 0o600)
	if err != nil {
		return false, fmt.Errorf("open index: %w", err)
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return false, fmt.Errorf("open index: %w", err)
	}
	if info.Size() == 0 && readOnly {
		return false, fmt.Errorf("open index %s: %w: it is empty", d.path, ErrRebuild)
	}
	return info.Size() == 0, nil
}

// begin makes the tables.
func (d *database) begin() error {
	text := fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d;", application, version)
	if _, err := d.write.Exec(text + schema); err != nil {
		return d.fail("make index", err)
	}
	if _, err := d.write.Exec("INSERT INTO meta VALUES ('facts', ?), ('at', '0 0')", filter.Schema()); err != nil {
		return d.fail("make index", err)
	}
	return nil
}

// check sees whether the file is one that begin made.
func (d *database) check() error {
	var app, is int64
	var facts string
	err := d.write.QueryRow("SELECT a.application_id, u.user_version FROM pragma_application_id a, pragma_user_version u").Scan(&app, &is)
	if err == nil && app == application && is == version {
		err = d.write.QueryRow("SELECT value FROM meta WHERE name = 'facts'").Scan(&facts)
	}
	switch {
	case err != nil:
		return d.fail("open index", err)
	case app != application:
		return fmt.Errorf("open index %s: %w: it is a database of something else", d.path, ErrRebuild)
	case is != version || facts != filter.Schema():
		return fmt.Errorf("open index %s: %w: another version of transom made it", d.path, ErrRebuild)
	}
	return nil
}

// journal chooses WAL, in which readers and the writer don't wait for each other, or
// where there is no shared memory a journal, where they do.
func (d *database) journal() error {
	var mode string
	if err := d.write.QueryRow("PRAGMA journal_mode=WAL").Scan(&mode); err == nil && mode == "wal" {
		_, err = d.write.Exec("PRAGMA wal_autocheckpoint=512; PRAGMA journal_size_limit=8388608")
		return d.fail("open index", err)
	}
	if err := d.write.QueryRow("PRAGMA journal_mode=TRUNCATE").Scan(&mode); err != nil {
		return d.fail("open index", err)
	}
	return nil
}

func (d *database) close() error {
	err := d.write.Close()
	if d.read != d.write {
		err = errors.Join(d.read.Close(), err)
	}
	if err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// fail says what failed, and what to do about it.
func (d *database) fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	if d.path != "" {
		doing += " " + d.path
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR: // SQL that is right fails where tables are missing
		return fmt.Errorf("%s: %w: %w", doing, ErrRebuild, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: %w: %w", doing, ErrFull, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%s: another program has it locked; end that: %w", doing, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%s: it can't be written; look at whose %s is: %w", doing, filepath.Dir(d.path), err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Reset removes the index at path and what SQLite keeps beside it. Open then makes a
// new one.
func Reset(path string) error {
	for _, end := range []string{"-journal", "-shm", "-wal", ""} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove index: %w", err)
		}
	}
	return nil
}

// A change is what is written together.
type change struct {
	d  *database
	tx *sql.Tx
}

// update writes what do says, all of it or nothing.
func (d *database) update(ctx context.Context, do func(*change) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return d.fail("write index", err)
	}
	if err := do(&change{d, tx}); err != nil {
		_ = tx.Rollback() // what led here is the error
		return err
	}
	return d.fail("write index", tx.Commit())
}

func (c *change) exec(text string, args ...any) error {
	_, err := c.tx.Exec(text, args...)
	return c.d.fail("write index", err)
}

// each has rows of one statement written.
func (c *change) each(text string, write func(exec func(args ...any) error) error) error {
	s, err := c.tx.Prepare(text)
	if err != nil {
		return c.d.fail("write index", err)
	}
	err = write(func(args ...any) error {
		_, err := s.Exec(args...)
		return c.d.fail("write index", err)
	})
	if closed := s.Close(); err == nil {
		err = c.d.fail("write index", closed)
	}
	return err
}

func (c *change) at(p segment.Position) error {
	return c.exec("UPDATE meta SET value = ? WHERE name = 'at'", fmt.Sprint(p.Segment, p.Offset))
}

func (d *database) at() (p segment.Position, err error) {
	var text string
	if err := d.read.QueryRow("SELECT value FROM meta WHERE name = 'at'").Scan(&text); err != nil {
		return p, d.fail("read index", err)
	}
	if _, err := fmt.Sscan(text, &p.Segment, &p.Offset); err != nil {
		return p, d.fail("read index", fmt.Errorf("%w: no position: %w", ErrRebuild, err))
	}
	return p, nil
}

// partKey is where a column of a block is.
func partKey(block int64, column int) int64 { return block<<6 | int64(column) }

// putBlock writes a block that is new, or replaces one.
func (c *change) putBlock(b *block, f *frozen) error {
	if err := c.exec("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", b.number, b.head(), b.deadBits()); err != nil {
		return err
	}
	return c.each("INSERT OR REPLACE INTO part VALUES (?, ?)", func(exec func(...any) error) error {
		for column := range columnSketch + 1 {
			if err := exec(partKey(b.number, column), f.pack(column)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) setDead(b *block) error {
	return c.exec("UPDATE block SET dead = ? WHERE number = ?", b.deadBits(), b.number)
}

func (c *change) dropBlock(number int64) error {
	err := c.exec("DELETE FROM part WHERE key BETWEEN ? AND ?", partKey(number, 0), partKey(number, columnSketch))
	if err == nil {
		err = c.exec("DELETE FROM block WHERE number = ?", number)
	}
	return err
}

func (d *database) column(number int64, column int) ([]byte, error) {
	return d.blob("SELECT data FROM part WHERE key = ?", partKey(number, column))
}

// blob reads one value, ErrUnknown if there is none.
func (d *database) blob(text string, args ...any) ([]byte, error) {
	var data []byte
	err := d.read.QueryRow(text, args...).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnknown
	}
	return data, d.fail("read index", err)
}

// blocks reads what is known of all blocks, by number.
func (d *database) blocks() (list []*block, err error) {
	err = d.all("SELECT number, head, dead FROM block ORDER BY number", func(scan func(...any) error) error {
		var number int64
		var head, dead []byte
		if err := scan(&number, &head, &dead); err != nil {
			return err
		}
		b, err := readBlock(number, head, dead)
		list = append(list, b)
		return err
	})
	return list, err
}

// all reads rows.
func (d *database) all(text string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := d.read.Query(text, args...)
	if err != nil {
		return d.fail("read index", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return d.fail("read index", err)
		}
	}
	return d.fail("read index", rows.Err())
}

// size returns how much there is of the index.
func (d *database) size() (int64, error) {
	if d.path == "" {
		var pages int64
		err := d.read.QueryRow("SELECT page_count FROM pragma_page_count").Scan(&pages)
		return pages * pageSize, d.fail("read index", err)
	}
	var size int64
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(d.path + end)
		switch {
		case err == nil:
			size += info.Size()
		case !errors.Is(err, fs.ErrNotExist) || end == "":
			return 0, fmt.Errorf("read index: %w", err)
		}
	}
	return size, nil
}

// Bodies.

func (d *database) page(number int64) ([]byte, error) {
	return d.blob("SELECT data FROM bodies WHERE page = ?", number)
}

func (c *change) page(number int64) ([]byte, error) {
	var data []byte
	err := c.tx.QueryRow("SELECT data FROM bodies WHERE page = ?", number).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return data, c.d.fail("read index", err)
}

func (c *change) putPage(number, low, up int64, data []byte) error {
	if data == nil {
		return c.exec("DELETE FROM bodies WHERE page = ?", number)
	}
	return c.exec("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?)", number, low, up, data)
}

// pagesIn returns the pages that may have something in a segment.
func (c *change) pagesIn(segment int64) (numbers []int64, err error) {
	rows, err := c.tx.Query("SELECT page FROM bodies WHERE low <= ? AND up >= ?", segment, segment)
	if err != nil {
		return nil, c.d.fail("read index", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, c.d.fail("read index", err)
		}
		numbers = append(numbers, n)
	}
	return numbers, c.d.fail("read index", rows.Err())
}

// Terms.

// termKey is where the terms of a bucket of a run are: those of one bucket together.
func termKey(bucket int, run int64) int64 { return int64(bucket)<<40 | run }

func (c *change) putRun(number int64, head []byte, bucket func(int) []byte) error {
	if err := c.exec("INSERT OR REPLACE INTO run VALUES (?, ?)", number, head); err != nil {
		return err
	}
	return c.each("INSERT OR REPLACE INTO term VALUES (?, ?)", func(exec func(...any) error) error {
		for i := range buckets {
			if err := exec(termKey(i, number), bucket(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) dropRun(number int64) error {
	if err := c.exec("DELETE FROM run WHERE number = ?", number); err != nil {
		return err
	}
	return c.each("DELETE FROM term WHERE key = ?", func(exec func(...any) error) error {
		for i := range buckets {
			if err := exec(termKey(i, number)); err != nil {
				return err
			}
		}
		return nil
	})
}

// runs reads the heads of all runs, by number.
func (d *database) runs(row func(number int64, data []byte) error) error {
	return d.all("SELECT number, data FROM run ORDER BY number", func(scan func(...any) error) error {
		var number int64
		var data []byte
		if err := scan(&number, &data); err != nil {
			return err
		}
		return row(number, data)
	})
}

// term reads one bucket of one run.
func (d *database) term(bucket int, run int64) ([]byte, error) {
	return d.blob("SELECT data FROM term WHERE key = ?", termKey(bucket, run))
}

// bucket reads one bucket of all runs.
func (d *database) bucket(i int, row func(run int64, data []byte) error) error {
	const text = "SELECT key, data FROM term WHERE key BETWEEN ? AND ?"
	return d.all(text, func(scan func(...any) error) error {
		var key int64
		var data []byte
		if err := scan(&key, &data); err != nil {
			return err
		}
		return row(key&(1<<40-1), data)
	}, termKey(i, 0), termKey(i+1, 0)-1)
}
