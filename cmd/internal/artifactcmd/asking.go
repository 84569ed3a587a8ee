package artifactcmd

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/verify"
)

// asking are the flags that say how to find out about revocation.
type asking struct {
	crls    []string
	offline bool
	noCache bool
}

func (o *asking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.crls, "crl", nil, "know revocation from the list in this `file` (DER or PEM), besides what is fetched; may be repeated")
	f.BoolVar(&o.offline, "offline", false, "ask no OCSP responder and fetch no revocation list: only --crl and what was kept count")
	f.BoolVar(&o.noCache, "no-cache", false, "ask anew, and keep no answer about revocation")
}

// given reports whether any of the flags is.
func (o *asking) given() bool { return len(o.crls) > 0 || o.offline || o.noCache }

// askTimeout bounds one question: those who verify a thousand signatures do not wait
// for long, and those who have none are refused.
const askTimeout = 5 * time.Second

// fetcher returns what asks about certificates that name somebody who can be
// asked, as Notation does.
func (o *asking) fetcher(env *cli.Env) (*revocation.Fetcher, error) {
	cfg := revocation.Config{
		Mode:                   revocation.Named,
		AcceptListsAfterExpiry: true,
		Offline:                o.offline,
		Timeout:                askTimeout,
		UserAgent:              env.UserAgent(),
		Warn:                   func(err error) { env.Warn("%v", err) },
	}
	if len(o.crls) > 0 {
		given, err := revocation.ReadCRLs(o.crls, env.ReadFile)
		if err != nil {
			return nil, err
		}
		cfg.Given = verify.Evidence{given}
	}
	if !o.noCache {
		dir, err := env.CacheDir("revocation")
		if err != nil {
			return nil, err
		}
		cfg.Cache = dir
	}
	return revocation.New(cfg), nil
}

// worded is an error with another text.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.err }

// plain takes the names of packages out of the text of an error.
func plain(err error) error { return &worded{notary.Text(err), err} }

// prefixed puts a file's name before an error.
func prefixed(file string, err error) error { return fmt.Errorf("%s: %w", file, err) }
