package files

import (
	"context"
	"io"
	"os"

	"transom/app/export"
)

// Load is Read of the file of that name, or of stdin, if that is "-".
func Load(ctx context.Context, name string, stdin io.Reader, to export.Sink) error {
	if name == "-" {
		return Read(ctx, stdin, "stdin", to)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return Read(ctx, f, name, to)
}
