package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"transom/store/segment"
)

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

// prepare makes ready what queries do many times.
func (d *database) prepare() (err error) {
	d.part, err = d.read.Prepare("SELECT data FROM part WHERE key = ?")
	return d.fail("open index", err)
}

// column appends a column to dst. Who reads it looks whether the file has changed.
func (d *database) column(dst []byte, number int64, column int) ([]byte, error) {
	rows, err := d.part.Query(partKey(number, column))
	if err != nil {
		return nil, d.fail("read index", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, cmp.Or(d.fail("read index", rows.Err()), ErrUnknown)
	}
	var data sql.RawBytes // it would be copied twice
	if err := rows.Scan(&data); err != nil {
		return nil, d.fail("read index", err)
	}
	return append(dst, data...), nil
}

// blob reads one value, ErrUnknown if there is none.
func (d *database) blob(row *sql.Row) ([]byte, error) {
	var data []byte
	err := row.Scan(&data)
	if changed := d.settled.still(); changed != nil {
		return nil, changed
	}
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
	if err == nil {
		defer rows.Close()
		for err == nil && rows.Next() {
			err = row(rows.Scan)
		}
		if err == nil {
			err = rows.Err()
		}
	}
	if changed := d.settled.still(); changed != nil {
		return changed
	}
	return d.fail("read index", err)
}

// Bodies.

func (d *database) page(number int64) ([]byte, error) {
	return d.blob(d.read.QueryRow("SELECT data FROM bodies WHERE page = ?", number))
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

// bodiesIn reports whether segments may have something of a body.
func (d *database) bodiesIn(s segments) (some bool, err error) {
	err = d.read.QueryRow("SELECT EXISTS (SELECT 1 FROM bodies WHERE low <= ? AND up >= ?)", int64(s.to), int64(s.from)).Scan(&some)
	return some, cmp.Or(d.settled.still(), d.fail("read index", err))
}

// pagesIn returns the pages that may have something in segments.
func (c *change) pagesIn(s segments) (numbers []int64, err error) {
	rows, err := c.tx.Query("SELECT page FROM bodies WHERE low <= ? AND up >= ?", int64(s.to), int64(s.from))
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
	return d.blob(d.read.QueryRow("SELECT data FROM term WHERE key = ?", termKey(bucket, run)))
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
