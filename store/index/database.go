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
)

// All SQL stands here and in tables.go. SQLite keeps blobs by number, and sees to it that
// what is written together is there together; what is in them the rest of the package
// knows.

const (
	application = 0x54524e58 // says that a file is ours
	version     = 2          // of the tables and of how columns are packed

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

// readers is how many read at once: connections, and blocks of one page.
const readers = 2

// A database is the file, by a connection that writes and a few that read.
type database struct {
	path    string
	write   *sql.DB
	read    *sql.DB   // the same one in memory
	part    *sql.Stmt // a column, of which queries read many
	settled *settled  // nil if it may change
	scratch string    // a directory to be removed
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
	if err == nil && readOnly {
		path, d.settled, d.scratch, err = settle(path)
	}
	if err != nil {
		return nil, err
	}
	if d.write, err = sql.Open("sqlite", dsn(path, readOnly, "cache_size(-2048)", "synchronous(normal)")); err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: %w", path, err), d.clear())
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn(path, readOnly, "cache_size(-1024)", "query_only(1)")); err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: %w", path, err), d.write.Close(), d.clear())
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	if d.scratch != "" {
		err = d.vanish()
	}
	switch {
	case err != nil:
	case fresh:
		err = d.begin()
	default:
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
		q.Set("immutable", "1")
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
	if d.part != nil {
		_ = d.part.Close() // it has nothing to lose
	}
	err := d.write.Close()
	if d.read != d.write {
		err = errors.Join(d.read.Close(), err)
	}
	err = errors.Join(err, d.clear())
	if err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

// vanish opens all connections to a copy and removes it, so that it is gone with the process however that ends. Should one
// have to be opened again, reading fails, and goes on without the index.
func (d *database) vanish() error {
	ctx := context.Background()
	err := d.write.PingContext(ctx)
	for range readers {
		c, failed := d.read.Conn(ctx)
		if failed != nil {
			return d.fail("open a copy of index", errors.Join(err, failed))
		}
		defer c.Close() // which keeps it for later
	}
	err = errors.Join(d.fail("open a copy of index", err), d.clear())
	d.scratch = ""
	return err
}

// fold has a copy be one file that stands for itself.
func fold(path string) error {
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN IMMEDIATE; COMMIT; PRAGMA journal_mode=DELETE")
	return errors.Join(err, db.Close())
}

// clear removes the copy, if there is one.
func (d *database) clear() error {
	if d.scratch == "" {
		return nil
	}
	return os.RemoveAll(d.scratch)
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
