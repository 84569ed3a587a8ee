package auditcmd

import (
	"context"
	"crypto"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timestampcmd"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// maxFindings is how many findings, and how many notes, are told; all are
// counted. A file that retention removed is a note: these are three years of
// one a day.
const maxFindings = 1000

// verifyOptions are the flags of "audit verify".
type verifyOptions struct {
	heads []string
	trust timestampcmd.Trust
}

// verifyJSON is the answer of "audit verify --json".
type verifyJSON struct {
	Dir string `json:"dir"`
	// Whole says that nothing is wrong: the exit status is 0.
	Whole   bool   `json:"whole"`
	Files   int    `json:"files"`
	Records uint64 `json:"records"`
	Tokens  uint64 `json:"tokens"`
	// First and Last are the ends of the record, absent if there is none.
	First *endJSON `json:"first,omitempty"`
	Last  *endJSON `json:"last,omitempty"`
	// Head is the hash of the last record, for a later --head.
	Head string `json:"head,omitempty"`
	// Live says that a server is writing, and UnfinishedBytes is what it had not
	// finished.
	Live            bool       `json:"live"`
	UnfinishedBytes int64      `json:"unfinishedBytes,omitempty"`
	Stamps          stampsJSON `json:"stamps"`
	// Findings are what is wrong, and Notes what is not wrong and yet worth
	// knowing, at most 1000 each of as many as there are.
	Findings     []findingJSON `json:"findings"`
	FindingCount uint64        `json:"findingCount"`
	Notes        []findingJSON `json:"notes"`
	NoteCount    uint64        `json:"noteCount"`
}

// endJSON is a record at an end of what was read.
type endJSON struct {
	Record uint64    `json:"record"`
	Time   time.Time `json:"time"`
}

// stampsJSON is what the timestamps over the record prove.
type stampsJSON struct {
	Count uint64 `json:"count"`
	// Verified says that they were verified against roots. Without, they were
	// only compared with the records, and anybody can have made them.
	Verified bool `json:"verified"`
	// Record is the last one that a good timestamp covers, and Time what that
	// says; absent if there is none.
	Record uint64     `json:"record,omitempty"`
	Time   *time.Time `json:"time,omitempty"`
	// Uncovered is how many records there are after that, and UncoveredSince when
	// the first was written that waits for a timestamp; absent if none does.
	Uncovered      uint64     `json:"uncovered"`
	UncoveredSince *time.Time `json:"uncoveredSince,omitempty"`
	// LongestWaitSeconds is the longest that a record waited for its timestamp.
	LongestWaitSeconds float64         `json:"longestWaitSeconds"`
	Authorities        []authorityJSON `json:"authorities"`
}

// authorityJSON is who stamped the record. Its name is what the token says
// where Verified is not set.
type authorityJSON struct {
	Name   string    `json:"name"`
	Stamps int       `json:"stamps"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

func newVerify(env *cli.Env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Verify that nothing in a record of issue was altered or is missing",
		Long: `Verify that nothing in a record of issue was altered, put in or taken out: each
line, the chain of hashes over all files, the files that are missing and whether
the record says that their age was reached, and the timestamps over it.

Whoever can write to the folder can cut off its end, and compute all hashes anew
behind the last timestamp. Note the head that is shown, elsewhere, and give it as
--head the next time. Timestamps prove something only if they are verified, with
--roots.

Exit status: 0 whole, 1 it is not, 2 it could not be read.`,
		Example: `  fencepost audit verify /var/lib/fencepost/audit --roots tsa-root.pem
  fencepost audit verify copy --head mPz1iA0W8sQ2qfDmrTg8cCjkTq5xCLyZzT1BvMv0b2k --json`,
		Args: func(_ *cobra.Command, dirs []string) error {
			if len(dirs) != 1 {
				return cli.Usagef("the folder of one record is verified, %d given", len(dirs))
			}
			return nil
		},
		ValidArgsFunction: folders,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if err := refuseEmpty(cmd, dirs); err != nil {
				return err
			}
			return o.run(cmd.Context(), env, dirs[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.heads, "head", nil, "a head that was noted earlier, which must be in the record, as a `hash`; may be repeated")
	f.StringArrayVar(&o.trust.Roots, "roots", nil, "verify the timestamps against the root certificates in this PEM `file`; may be repeated")
	f.StringArrayVar(&o.trust.Intermediates, "intermediates", nil, "use the certificates in this PEM `file` to build the chain; may be repeated")
	return cmd
}

func (o *verifyOptions) run(ctx context.Context, env *cli.Env, dir string) error {
	opts := audit.VerifyOptions{MaxProblems: maxFindings}
	for _, text := range o.heads {
		h, err := audit.ParseHash(text)
		if err != nil {
			return cli.Usagef("--head %q is not the head of a record: %v", text, err)
		}
		opts.Contains = append(opts.Contains, h)
	}
	stamps := stampChecker{at: map[string]int{}}
	if o.trust.Given() {
		policy, err := o.trust.Policy(env)
		if err != nil {
			return err
		}
		stamps.policy = &policy
	} else if len(o.trust.Intermediates) > 0 {
		return cli.Usagef("--intermediates needs --roots: what leads to no root proves nothing")
	}
	opts.CheckStamp = stamps.check
	report, err := audit.Verify(ctx, dir, opts)
	if err != nil && report.ProblemCount == 0 {
		return located(err)
	}
	answer := describe(dir, report, &stamps)
	if err != nil { // what was found before it is worth knowing
		for _, f := range answer.Findings {
			env.Errorf("%s", f.line())
		}
		return located(err)
	}
	if env.JSON {
		err = env.WriteJSON(answer)
	} else {
		err = answer.write(env)
	}
	if err == nil && !answer.Whole {
		err = cli.Silently(cli.No)
	}
	return err
}

// A stampChecker verifies timestamps over the record, and keeps who made them.
type stampChecker struct {
	policy *verify.Policy // nil: nobody is trusted
	who    []authorityJSON
	at     map[string]int // in who, by name
}

// check is audit.VerifyOptions.CheckStamp.
func (c *stampChecker) check(_ context.Context, digest, der []byte) (time.Time, error) {
	imprint, err := tsp.NewImprint(crypto.SHA256, digest)
	if err != nil {
		return time.Time{}, err
	}
	token, err := tsp.ParseToken(der)
	if err != nil {
		return time.Time{}, err
	}
	if c.policy == nil {
		info := token.UnverifiedInfo
		if !info.Imprint.Equal(imprint) {
			return time.Time{}, fmt.Errorf("its imprint is %s %x, and not the hash of the record", info.Imprint.AlgorithmName(), info.Imprint.Digest)
		}
		c.note(claimed(token), info.GenTime)
		return info.GenTime, nil
	}
	ts, err := c.policy.Token(token, imprint)
	if err != nil {
		return time.Time{}, err
	}
	c.note(ts.Chain[0].Subject.String(), ts.Time)
	return ts.Time, nil
}

// claimed is who a token says has signed it.
func claimed(token *tsp.Token) string {
	for _, cert := range inspect.Describe("", &tsp.Message{Token: token}).Token.Certificates {
		if cert.Signer {
			return cert.Subject
		}
	}
	return "somebody without a certificate"
}

func (c *stampChecker) note(name string, t time.Time) {
	i, ok := c.at[name]
	if !ok {
		i = len(c.who)
		c.at[name] = i
		c.who = append(c.who, authorityJSON{Name: name, First: t, Last: t})
	}
	a := &c.who[i]
	a.Stamps++
	if t.Before(a.First) {
		a.First = t
	}
	if t.After(a.Last) {
		a.Last = t
	}
}

// describe makes the answer of a report.
func describe(dir string, r *audit.Report, stamps *stampChecker) *verifyJSON {
	a := &verifyJSON{
		Dir: dir, Files: r.Segments, Records: r.Records, Tokens: r.Tokens, Live: r.Live, UnfinishedBytes: r.Unfinished,
		Stamps: stampsJSON{
			Count: r.Stamps, Verified: stamps.policy != nil, Uncovered: r.Records,
			LongestWaitSeconds: r.StampWait.Seconds(), Authorities: append([]authorityJSON{}, stamps.who...),
		},
		Findings: findings(r.Problems), FindingCount: r.ProblemCount,
		Notes: findings(r.Notes), NoteCount: r.NoteCount,
	}
	if r.Records > 0 {
		a.First, a.Last = &endJSON{r.FirstSeq, r.FirstTime}, &endJSON{r.LastSeq, r.LastTime}
		a.Head = r.Head.String()
	}
	if r.StampedSeq > 0 {
		a.Stamps.Record, a.Stamps.Time = r.StampedSeq, &r.StampedTime
		a.Stamps.Uncovered = r.LastSeq - min(r.LastSeq, r.StampedSeq)
	}
	if !r.UnstampedSince.IsZero() {
		a.Stamps.UncoveredSince = &r.UnstampedSince
	}
	// Who names roots asks whether it is proved, and nothing proves it then: a
	// record that was made anew has no timestamps of theirs either.
	if stamps.policy != nil && r.StampedSeq == 0 {
		a.Findings = append(a.Findings, unstamped(r.Stamps))
		a.FindingCount++
	}
	a.Whole = a.FindingCount == 0
	return a
}

// write is the answer for people: what there is, what is wrong, and the verdict.
func (a *verifyJSON) write(env *cli.Env) error {
	root := &inspect.Node{Text: a.Dir + ": record of issue"}
	root.Add(fmt.Sprintf("%s, %s, of them %s", cli.Plural(a.Files, "file"), count(a.Records, "record"), count(a.Tokens, "token")))
	if a.First != nil {
		root.Add(fmt.Sprintf("from record %d, %s", a.First.Record, shown(a.First.Time)))
		root.Add(fmt.Sprintf("to record %d, %s", a.Last.Record, shown(a.Last.Time)))
		root.Add("head " + a.Head)
	}
	a.Stamps.grow(root)
	if a.Live {
		text := "a server is writing to it"
		if a.UnfinishedBytes > 0 {
			text += fmt.Sprintf(", and had not finished %d bytes at the end", a.UnfinishedBytes)
		}
		root.Add(text)
	}
	if err := root.Write(env.Stdout); err != nil {
		return err
	}
	for _, list := range []struct {
		prefix   string
		findings []findingJSON
		count    uint64
	}{{"note: ", a.Notes, a.NoteCount}, {"", a.Findings, a.FindingCount}} {
		for _, f := range list.findings {
			if err := env.Answer("%s%s", list.prefix, f.line()); err != nil {
				return err
			}
		}
		if more := list.count - uint64(len(list.findings)); more > 0 {
			if err := env.Answer("%sand %d more", list.prefix, more); err != nil {
				return err
			}
		}
	}
	return env.Answer("%s", a.verdict())
}

// grow hangs what is known of the timestamps below n.
func (s *stampsJSON) grow(n *inspect.Node) {
	if s.Count == 0 {
		n.Add("no timestamps over it: nothing but a head that was noted elsewhere shows whether it was made anew")
		return
	}
	text := count(s.Count, "timestamp")
	if s.Verified {
		text += ", verified"
	} else {
		text += ", not verified: no roots given; they are over these records, and anybody can have made them"
	}
	stamps := n.Add(text)
	for _, w := range s.Authorities {
		text := fmt.Sprintf("%d by %s, %s", w.Stamps, w.Name, shown(w.First))
		if w.Stamps > 1 {
			text += " to " + shown(w.Last)
		}
		stamps.Add(text)
	}
	if s.Record > 0 {
		existed := "existed"
		if !s.Verified {
			existed = "is said to have existed"
		}
		stamps.Add(fmt.Sprintf("what is up to record %d %s at %s", s.Record, existed, shown(*s.Time)))
		stamps.Add("a record waited for its timestamp " + roundUp(time.Duration(s.LongestWaitSeconds*float64(time.Second)), time.Millisecond).String() + " at most")
	}
	if s.Uncovered > 0 {
		text := count(s.Uncovered, "record") + " at the end not under a timestamp yet"
		if s.UncoveredSince != nil {
			text += ", waiting since " + shown(*s.UncoveredSince)
		}
		stamps.Add(text)
	}
}

func (a *verifyJSON) verdict() string {
	if a.Whole {
		return a.Dir + ": whole"
	}
	return fmt.Sprintf("%s: NOT WHOLE: %s", a.Dir, count(a.FindingCount, "finding"))
}

// count writes "1 file", "1204 files".
func count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatUint(n, 10) + " " + noun
}

// roundUp never makes a span less than it is.
func roundUp(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 {
		d += unit - rest
	}
	return d
}
