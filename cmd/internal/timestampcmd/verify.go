package timestampcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// verifyOptions are the flags of "timestamp verify".
type verifyOptions struct {
	trust      Trust
	revocation revocationOptions
	timestamp  string
	digest     string
	request    string
	nonce      string
}

// verifyJSON is the answer of "timestamp verify --json".
type verifyJSON struct {
	// Verified says whether every file is.
	Verified   bool           `json:"verified"`
	Timestamps []verifiedJSON `json:"timestamps"`
}

// verifiedJSON is the verdict on one timestamp. The fields from Time on are
// there only when it verified.
type verifiedJSON struct {
	File      string `json:"file,omitempty"`
	Timestamp string `json:"timestamp"`
	Verified  bool   `json:"verified"`
	// Reason is one word of verify.Reasons, Error the whole message.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`

	Time     *time.Time `json:"time,omitempty"`
	Accuracy *float64   `json:"accuracySeconds,omitempty"`
	Earliest *time.Time `json:"earliest,omitempty"`
	Latest   *time.Time `json:"latest,omitempty"`
	Hash     string     `json:"hash,omitempty"`
	Digest   string     `json:"digest,omitempty"`
	Policy   string     `json:"policy,omitempty"`
	Serial   string     `json:"serialNumber,omitempty"`
	Signer   string     `json:"signer,omitempty"`

	// Revocation is there with --revocation: the certificates that were asked
	// about, the signer's first.
	Revocation []revocationJSON `json:"revocation,omitempty"`
}

func newVerify(env *cli.Env) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify (--roots FILE | --chain FILE) FILE...",
		Short: "Verify that files existed at the times of their timestamps",
		Long: `Verify that files existed at the times that their timestamps say.

The timestamp of FILE is FILE.tsr or else FILE.tst, unless --timestamp names
another. With --digest no FILE is needed. "-" is standard input.

The authority's certificate must lead to a root that you name, at the time of
the timestamp; that it has expired since does not matter. Revocation is checked
against the lists that you name with --crl, with --revocation also by asking
whom the certificates name, and not otherwise.

Exit status: 0 all verify, 1 one does not, 2 one could not be checked, or
--revocation require is given and nobody could tell.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := refuseEmpty(cmd, files); err != nil {
				return err
			}
			return o.run(cmd.Context(), env, files)
		},
	}
	o.trust.flags(cmd)
	o.revocation.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.timestamp, "timestamp", "", "the `file` with the response or token")
	f.StringVar(&o.digest, "digest", "", "verify this digest in `hexadecimal` instead of a file")
	f.StringVar(&o.request, "request", "", "the response must answer the request in this `file`")
	f.StringVar(&o.nonce, "nonce", "", "the nonce `number` that the token must have")
	f.StringArrayVar(&o.trust.Policies, "policy", nil, "accept only this policy `OID`; may be repeated")
	return cmd
}

func (o *verifyOptions) run(ctx context.Context, env *cli.Env, files []string) error {
	switch {
	case o.digest != "" && len(files) > 0:
		return cli.Usagef("--digest takes the place of a file, %s given", cli.Plural(len(files), "file"))
	case o.digest != "" && o.timestamp == "":
		return cli.Usagef("--digest needs --timestamp")
	case o.digest == "" && len(files) == 0 && o.request == "":
		return cli.Usagef("nothing to verify: name a file, or give --digest")
	case len(files) > 1 && (o.timestamp != "" || o.request != "" || o.nonce != ""):
		return cli.Usagef("--timestamp, --request and --nonce go with one file")
	case o.request != "" && len(files) == 0 && o.timestamp == "":
		return cli.Usagef("--request needs --timestamp or a file")
	}
	policy, err := o.trust.Policy(env)
	if err != nil {
		return err
	}
	if o.nonce != "" {
		if policy.Nonce, err = tsp.ParseInteger(o.nonce); err != nil {
			return cli.Usagef("--nonce: %v", err)
		}
	}
	fetcher, err := o.revocation.fetcher(env, policy)
	if err != nil {
		return err
	}
	// judge verifies one token, and asks about its certificates.
	judge := func(v *verifiedJSON, token *tsp.Token, imprint tsp.Imprint) (*verify.Timestamp, error) {
		if fetcher == nil {
			return policy.Token(token, imprint)
		}
		ts, findings, err := fetcher.Verify(ctx, policy, func(p verify.Policy) (*verify.Timestamp, error) {
			return p.Token(token, imprint)
		})
		v.Revocation = describe(findings)
		return ts, err
	}
	if len(files) == 0 {
		files = []string{""}
	}
	out := verifyJSON{Verified: true, Timestamps: []verifiedJSON{}}
	var status answers
	progress := env.Progress("verifying", int64(len(files)))
	defer progress.End()
	for _, file := range files {
		v, ts, err := o.one(env, judge, file)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress.Add(1)
		if err == nil {
			v.fill(ts)
		} else {
			var reason verify.Error
			v.Error, out.Verified = err.Error(), false
			code := cli.Unknown
			if e := (*verify.Error)(nil); errors.As(err, &e) {
				reason, code = *e, cli.No
			}
			if fetcher != nil && couldNotTell(err) {
				code = cli.Unknown
			}
			v.Reason = string(reason.Reason)
			status.add(code)
		}
		out.Timestamps = append(out.Timestamps, v)
		if !env.JSON {
			if err := env.Answer("%s", v.line()); err != nil {
				return err
			}
			for _, r := range v.Revocation {
				if err := env.Answer("%s", r.line()); err != nil {
					return err
				}
			}
		}
	}
	progress.End()
	if env.JSON {
		if err := env.WriteJSON(out); err != nil {
			return err
		}
	}
	return cli.Silently(status.code)
}

// A judge decides about one token, and notes in the verdict how.
type judge func(*verifiedJSON, *tsp.Token, tsp.Imprint) (*verify.Timestamp, error)

// one has judge verify the timestamp of one file, "" for none.
func (o *verifyOptions) one(env *cli.Env, judge judge, file string) (verifiedJSON, *verify.Timestamp, error) {
	v := verifiedJSON{File: file, Timestamp: o.timestamp}
	if v.Timestamp == "" {
		v.Timestamp = besides(file)
	}
	m, err := readMessage(env, v.Timestamp)
	if err != nil {
		// What is not a timestamp at all proves nothing.
		if ce := (*cli.Error)(nil); errors.As(err, &ce) && ce.Code == cli.No {
			return v, nil, refuse(verify.ReasonMalformed, err)
		}
		return v, nil, err
	}
	token, err := m.TimeStampToken()
	if err != nil {
		if m.Request != nil {
			return v, nil, fmt.Errorf("%s is a request, not a timestamp", v.Timestamp)
		}
		return v, nil, refuse(verify.ReasonRefused, err)
	}
	var imprint tsp.Imprint
	switch {
	case o.digest != "":
		imprint, err = parseDigest(o.digest, "", false)
	case file != "":
		h := token.UnverifiedInfo.Imprint.Hash
		if imprint, err = Imprint(env, file, h); err != nil && errors.As(err, new(*fs.PathError)) {
			return v, nil, err
		} else if err != nil {
			return v, nil, refuse(verify.ReasonWeakHash, err)
		}
	}
	if err != nil {
		return v, nil, err
	}
	if o.request != "" {
		if imprint, err = o.checkRequest(env, m, imprint); err != nil {
			return v, nil, err
		}
	}
	ts, err := judge(&v, token, imprint)
	return v, ts, err
}

// refuse is the verdict for what came to light before package verify was asked.
func refuse(reason verify.Reason, err error) error {
	text := err.Error()
	for _, prefix := range []string{"verify: ", "tsp: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return &verify.Error{Reason: reason, Detail: text, Err: err}
}

// checkRequest checks that m answers the request of --request, and returns
// what was asked for where nothing else says what is verified.
func (o *verifyOptions) checkRequest(env *cli.Env, m *tsp.Message, imprint tsp.Imprint) (tsp.Imprint, error) {
	req, err := readMessage(env, o.request)
	if err != nil {
		return imprint, err
	}
	if req.Request == nil {
		return imprint, fmt.Errorf("%s is not a request", o.request)
	}
	resp := m.Response
	if resp == nil {
		resp = &tsp.Response{Token: m.Token}
	}
	if imprint.Digest == nil {
		imprint = req.Request.Imprint
	}
	return imprint, verify.Answers(resp, req.Request)
}

// besides finds the timestamp of a file: FILE.tsr, or FILE.tst where only that
// is there.
func besides(file string) string {
	if _, err := os.Stat(file + ".tsr"); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(file + ".tst"); err == nil {
			return file + ".tst"
		}
	}
	return file + ".tsr"
}

func (v *verifiedJSON) fill(ts *verify.Timestamp) {
	v.Verified = true
	at := ts.Time
	v.Time = &at
	if ts.HasAccuracy {
		seconds, earliest, latest := ts.Accuracy.Seconds(), ts.Earliest(), ts.Latest()
		v.Accuracy, v.Earliest, v.Latest = &seconds, &earliest, &latest
	}
	v.Hash, v.Digest = ts.Imprint.AlgorithmName(), hex.EncodeToString(ts.Imprint.Digest)
	v.Policy, v.Serial = ts.Policy.String(), ts.Serial.Hex()
	v.Signer = ts.Chain[0].Subject.String()
}

// line is the verdict for people.
func (v *verifiedJSON) line() string {
	name := v.File
	if name == "" {
		name = v.Timestamp
	}
	if !v.Verified {
		return fmt.Sprintf("%s: NOT VERIFIED: %s", name, v.Error)
	}
	accuracy := ""
	if v.Accuracy != nil {
		accuracy = " ± " + time.Duration(*v.Accuracy*float64(time.Second)).String()
	}
	return fmt.Sprintf("%s: verified: existed at %s%s, signed by %s, policy %s",
		name, v.Time.Format(time.RFC3339Nano), accuracy, v.Signer, v.Policy)
}
