package oci

import (
	"context"
	"time"
)

// Hurry has a repository wait a fraction of what it should between attempts.
func Hurry(repo *Repository) {
	if r, ok := repo.from.(*registry); ok {
		r.pause = func(ctx context.Context, d time.Duration) error { return pause(ctx, d/100) }
	}
}

// FallbackTag is exported for tests.
var FallbackTag = fallbackTag

// ShortLock has a layout wait a moment only for another writer.
func ShortLock(repo *Repository) {
	if l, ok := repo.from.(*layout); ok {
		l.patience = 3 * lockPause
	}
}

// Impatient has a credential helper answer soon.
func (c CredsConfig) Impatient() CredsConfig {
	c.patience = 300 * time.Millisecond
	return c
}
