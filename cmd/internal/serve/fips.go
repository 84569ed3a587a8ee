package serve

import (
	"context"
	"log/slog"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// logMode says which mode of FIPS 140-3 this process runs in, if any.
func (s *Server) logMode(ctx context.Context) {
	if mode := fips.Current(); mode != fips.Off {
		s.log.LogAttrs(ctx, slog.LevelInfo, "FIPS 140-3 mode", slog.String("mode", string(mode)), slog.String("module", fips.Module()))
	}
}
