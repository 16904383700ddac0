//go:build !linux && !darwin && !freebsd && !openbsd

package doctor

import (
	"context"
	"fmt"

	"transom/platform"
)

// Look fails.
func Look(context.Context, Question) (*Machine, error) {
	return nil, fmt.Errorf("examine this host: %w; transom steer show says what can be set up by hand", platform.ErrUnsupported)
}
