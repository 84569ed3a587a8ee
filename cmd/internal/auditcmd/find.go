package auditcmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// ReasonNotWhole is the reason, in JSON, why what was found is no evidence.
const ReasonNotWhole = "not-whole"

// findOptions are the flags of "audit find".
type findOptions struct {
	queryOptions
	limit      int
	unverified bool
}

func newFind(env *cli.Env) *cobra.Command {
	var o findOptions
	cmd := &cobra.Command{
		Use:   "find DIR...",
		Short: "Find tokens and events in records of issue",
		Long: `Find tokens and events in the records of issue of one server or several, merged
by the time of recording. All that is asked for must apply.

Each record is verified first, as "audit verify" does it without --roots. If one
is not whole, what was found in it is shown all the same, marked, and the exit
status is 2: it is no evidence, and neither is that nothing was found.

With --json each record is one line, exactly as it was written.

Exit status: 0 found, 1 nothing was found, 2 a record could not be read, or is
not whole.`,
		Example: `  fencepost audit find audit --clock-bound 200ms
  fencepost audit find audit --key primary --from 2026-03-01 --to 2026-03-31T12:00:00Z
  fencepost audit find a/audit b/audit --serial 5c8e2d0b7f6a49e3b1d4c7a2908f6e5d4c3b2a19
  fencepost audit find audit --file release.tar.gz
  fencepost audit find audit --kind clock,key --from 2026-03-01 --json`,
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) == 0 {
				return cli.Usagef("nothing to look into: name the folder of a record")
			}
			return nil
		},
		ValidArgsFunction: folders,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if err := refuseEmpty(cmd, dirs); err != nil {
				return err
			}
			if cmd.Flags().Changed("limit") && o.limit < 1 {
				return cli.Usagef("--limit %d: at least 1", o.limit)
			}
			return o.run(cmd.Context(), env, dirs)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&o.limit, "limit", 0, "show the first `number` and no more")
	f.BoolVar(&o.unverified, "unverified", false, "do not verify the records first; what is found may have been altered")
	return cmd
}

func (o *findOptions) run(ctx context.Context, env *cli.Env, dirs []string) error {
	q, err := o.query(env)
	if err != nil {
		return err
	}
	sources := make([]*source, len(dirs))
	broken := false
	for i, dir := range dirs {
		sources[i] = &source{dir: dir}
		if o.unverified {
			continue
		}
		if err = sources[i].verify(ctx, env); err != nil {
			return err
		}
		broken = broken || !sources[i].whole
	}
	found, err := o.show(ctx, env, q, sources)
	if err != nil {
		return err
	}
	for _, s := range sources {
		// A line may have been altered since, or come after what was verified.
		if s.unchained > 0 && s.whole {
			env.Warn("%s: %s of what was found does not follow from the line before", s.dir, count(s.unchained, "line"))
			broken = true
		}
	}
	switch {
	case broken:
		return cli.Hint(&cli.Error{Code: cli.Unknown, Reason: ReasonNotWhole, Err: errors.New("the record is not whole: what was found in it is no evidence, nor that more was not")},
			"see what is wrong with audit verify; --unverified looks without asking")
	case found == 0:
		for _, s := range sources {
			if !s.begins.IsZero() && (q.From.IsZero() || q.From.Before(s.begins)) {
				env.Warn("%s begins at %s: what was before that was removed, and is not found", s.dir, shown(s.begins))
			}
		}
		if !env.JSON {
			env.Errorf("nothing was found")
		}
		return cli.Silently(cli.No)
	}
	return nil
}

// verify finds out whether the record is whole, and warns if it is not.
func (s *source) verify(ctx context.Context, env *cli.Env) error {
	stamps := stampChecker{at: map[string]int{}}
	r, err := audit.Verify(ctx, s.dir, audit.VerifyOptions{MaxProblems: 1, CheckStamp: stamps.check})
	if err != nil {
		return located(err)
	}
	if s.whole = r.OK(); !s.whole {
		f := findings(r.Problems)[0]
		env.Warn("%s is not whole: %s, the first: %s", s.dir, count(r.ProblemCount, "finding"), f.line())
	}
	if r.FirstSeq > 1 {
		s.begins = r.FirstTime
	}
	return nil
}

// show writes what was found and returns how much that was.
func (o *findOptions) show(ctx context.Context, env *cli.Env, q *query, sources []*source) (shown int, err error) {
	out := bufio.NewWriter(env.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	t := table{out: out, tokens: q.onlyTokens(), folders: len(sources) > 1}
	for rec, err := range merged(ctx, q, sources) {
		if err != nil {
			return shown, located(err)
		}
		if o.limit > 0 && shown == o.limit {
			env.Warn("there is more than the first %d", o.limit)
			break
		}
		shown++
		if env.JSON {
			_, err = out.Write(append(rec.Raw, '\n'))
		} else {
			err = t.write(rec)
		}
		if err != nil {
			return shown, err
		}
	}
	return shown, nil
}

// A source is a folder that is looked into.
type source struct {
	dir       string
	whole     bool      // it was verified, and nothing is wrong
	begins    time.Time // zero if it has all from its first record on, or was not verified
	unchained uint64
}

// A record is one that was found.
type record struct {
	audit.Entry
	from *source
}

// verified says that a record is where it was written.
func (r *record) verified() bool { return r.from.whole && r.Chained }

// errEnough ends a search.
var errEnough = errors.New("enough")

// find returns what the query finds in a folder, in the order of recording.
func (s *source) find(ctx context.Context, q *query) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		err := audit.Find(ctx, s.dir, q.Query, func(e *audit.Entry) error {
			if !q.matches(e) {
				return nil
			}
			r := &record{Entry: *e, from: s}
			r.Raw = bytes.Clone(e.Raw)
			if !e.Chained {
				s.unchained++
			}
			if !yield(r, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, fmt.Errorf("%s: %w", s.dir, trimPackage(err)))
		}
	}
}

// trimPackage takes off the name of the package, which says nothing here.
func trimPackage(err error) error {
	if text, ok := strings.CutPrefix(err.Error(), "audit: "); ok {
		return &trimmed{text, err}
	}
	return err
}

type trimmed struct {
	text string
	err  error
}

func (t *trimmed) Error() string { return t.text }
func (t *trimmed) Unwrap() error { return t.err }

// merged returns what is found in all folders, by the time of recording. Each
// folder is in its own order, whatever its clock did.
func merged(ctx context.Context, q *query, sources []*source) iter.Seq2[*record, error] {
	if len(sources) == 1 {
		return sources[0].find(ctx, q)
	}
	return func(yield func(*record, error) bool) {
		type stream struct {
			head *record
			next func() (*record, error, bool)
		}
		var streams []*stream
		advance := func(s *stream) error {
			rec, err, ok := s.next()
			if !ok {
				rec = nil
			}
			s.head = rec
			return err
		}
		for _, src := range sources {
			next, stop := iter.Pull2(src.find(ctx, q))
			defer stop()
			s := &stream{next: next}
			if err := advance(s); err != nil {
				yield(nil, err)
				return
			}
			streams = append(streams, s)
		}
		for {
			var first *stream
			for _, s := range streams {
				if s.head != nil && (first == nil || s.head.Time.Before(first.head.Time)) {
					first = s
				}
			}
			if first == nil || !yield(first.head, nil) {
				return
			}
			if err := advance(first); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
