package peerserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
)

// profileTimeout leaves time for a profile of five minutes.
const profileTimeout = 6 * time.Minute

// run serves until ctx ends, and reloads with each value of hangups.
func (s *server) run(ctx context.Context, hangups <-chan struct{}) error {
	defer s.log.Flush()
	log := s.cfg.Log
	s.cfg.Listening = func(a serve.Addresses) {
		for _, url := range a.Public {
			// The words of the namesake, for which scripts wait.
			log.InfoContext(ctx, "Serving timestamp server at "+url)
		}
	}
	// A key in memory cannot be read again, but SIGHUP must not end it.
	if s.cfg.Reload.Load != nil {
		s.cfg.Reload.Ask = hangups
	}
	srv, err := serve.New(s.cfg)
	if err != nil {
		return errors.Join(err, s.cfg.TSA.Close())
	}
	if s.pprof == nil {
		return srv.Run(ctx)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", srv.Admin())
	profiles := &http.Server{Handler: mux, ReadHeaderTimeout: serve.DefaultReadHeader, WriteTimeout: profileTimeout}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Whatever ends the server ends the profiles, and nothing else does.
		defer profiles.Close()
		return srv.Run(ctx)
	})
	group.Go(func() error {
		if err := profiles.Serve(s.pprof); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return group.Wait()
}
