package timestampcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsaclient"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// createOptions are the flags of "timestamp create".
type createOptions struct {
	connection  tsaclient.Connection
	trust       Trust
	hash        string
	hashGiven   bool
	digest      string
	request     string
	policy      string
	out         string
	noNonce     bool
	noCert      bool
	token       bool
	requestOnly bool
	force       bool
}

// createJSON is the answer of "timestamp create --json".
type createJSON struct {
	Timestamps []createdJSON `json:"timestamps"`
}

// createdJSON is one timestamp, or why there is none.
type createdJSON struct {
	File string `json:"file,omitempty"`
	// Out is where the response, token or request was written.
	Out    string `json:"out,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Digest string `json:"digest,omitempty"`
	// URL is the authority that answered.
	URL string `json:"url,omitempty"`
	// Verified says whether the answer was verified against a trusted root, and
	// not only compared with the request. Then the time is a trusted one.
	Verified bool       `json:"verified"`
	Time     *time.Time `json:"time,omitempty"`
	Accuracy *float64   `json:"accuracySeconds,omitempty"`
	Policy   string     `json:"policy,omitempty"`
	Serial   string     `json:"serialNumber,omitempty"`
	// Reason is a verify.Reason or the name of a PKIFailureInfo, Error the
	// whole message.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

func newCreate(env *cli.Env) *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create --tsa URL FILE...",
		Short: "Ask an authority for timestamps of files",
		Long: `Ask an authority for timestamps of files. Only a digest leaves this machine.

The response for FILE is written to FILE.tsr, with --token the bare token to
FILE.tst. "-" is standard input. With --digest no file is needed, with
--request a request that another program made is sent.

The answer is compared with the request before it is written, and verified
when --roots or --chain says whom to trust.

An authority that is not reached, has no time or fails is passed over for the
next --tsa. Exit status: 0 all granted, 1 one was refused or its answer does
not verify, 2 one could not be asked for.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := refuseEmpty(cmd, files); err != nil {
				return err
			}
			o.hashGiven = cmd.Flags().Changed("hash")
			return o.run(cmd.Context(), env, files)
		},
	}
	o.connection.Flags(cmd, "")
	o.trust.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.hash, "hash", "sha256", "hash algorithm: "+hashNames())
	f.StringVar(&o.digest, "digest", "", "stamp this digest in `hexadecimal` instead of a file")
	f.StringVar(&o.request, "request", "", "send the request in this `file`")
	f.StringVar(&o.policy, "policy", "", "ask for this policy `OID`")
	f.StringVarP(&o.out, "out", "o", "", "write to this `file` (\"-\": standard output)")
	f.BoolVar(&o.noNonce, "no-nonce", false, "send no nonce")
	f.BoolVar(&o.noCert, "no-certificates", false, "do not ask for the authority's certificates")
	f.BoolVar(&o.token, "token", false, "write the bare token (FILE.tst), not the response")
	f.BoolVar(&o.requestOnly, "request-only", false, "write the request (FILE.tsq), ask nobody")
	f.BoolVarP(&o.force, "force", "f", false, "replace an existing output file")
	cli.Mirror(env, cmd, "tsa")
	return cmd
}

func (o *createOptions) run(ctx context.Context, env *cli.Env, files []string) error {
	switch {
	case o.digest != "" && o.request != "":
		return cli.Usagef("--digest and --request exclude each other")
	case (o.digest != "" || o.request != "") && len(files) > 0:
		return cli.Usagef("--digest and --request take the place of a file, %s given", cli.Plural(len(files), "file"))
	case (o.digest != "" || o.request != "") && o.out == "":
		return cli.Usagef("--out is needed to say where the timestamp goes")
	case o.digest == "" && o.request == "" && len(files) == 0:
		return cli.Usagef("nothing to stamp: name a file, or give --digest or --request")
	case len(files) > 1 && o.out != "":
		return cli.Usagef("--out goes with one file")
	case o.token && o.requestOnly:
		return cli.Usagef("--token and --request-only exclude each other")
	case o.request != "" && (o.requestOnly || o.policy != "" || o.noNonce || o.noCert):
		return cli.Usagef("--request is sent as it is: --request-only, --policy, --no-nonce and --no-certificates do not go with it")
	case env.JSON && o.out == "-":
		return cli.Usagef("--json and --out - would both write to standard output")
	}
	client, err := o.client(env)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{""}
	}
	out := createJSON{Timestamps: []createdJSON{}}
	var status answers
	var last error
	progress := env.Progress("stamping", int64(len(files)))
	defer progress.End()
	for _, file := range files {
		c, err := o.one(ctx, env, client, file)
		progress.Add(1)
		if err != nil {
			last = classify(err)
			var ce *cli.Error
			errors.As(last, &ce)
			status.add(max(ce.Code, cli.No))
			c.Error, c.Reason = err.Error(), ce.Reason
			if len(files) > 1 && !env.JSON {
				env.Errorf("error: %s: %v", file, err)
			}
		} else if !env.JSON && c.Out != "-" {
			if err := env.Answer("%s", c.line()); err != nil {
				return err
			}
		}
		out.Timestamps = append(out.Timestamps, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if env.JSON && (status.code == cli.OK || len(files) > 1) {
		if err := env.WriteJSON(out); err != nil {
			return err
		}
	}
	if last != nil && len(files) == 1 {
		return last
	}
	return cli.Silently(status.code)
}

func (o *createOptions) client(env *cli.Env) (*tsphttp.Client, error) {
	if o.requestOnly {
		return nil, nil
	}
	var trust *verify.Policy
	if o.trust.Given() {
		p, err := o.trust.Policy(env)
		if err != nil {
			return nil, err
		}
		trust = &p
	}
	return o.connection.Client(env, trust)
}

// one gets one timestamp. file is "" with --digest and --request.
func (o *createOptions) one(ctx context.Context, env *cli.Env, client *tsphttp.Client, file string) (createdJSON, error) {
	c := createdJSON{File: file}
	out := cli.File{Path: o.outName(file), Inputs: []string{file, o.request}}
	if !o.force {
		out.Existing = cli.Keep
	}
	if err := env.Vacant(out); err != nil { // before anybody is asked
		return c, cli.Hint(err, "use --force to replace it")
	}
	req, err := o.makeRequest(env, file)
	if err != nil {
		return c, err
	}
	c.Hash, c.Digest = req.Imprint.AlgorithmName(), hex.EncodeToString(req.Imprint.Digest)
	if o.requestOnly {
		if out.Data, err = req.Marshal(); err != nil {
			return c, err
		}
	} else {
		reply, err := client.Ask(ctx, req)
		if err != nil {
			return c, err
		}
		for _, f := range reply.Failed {
			env.Warn("%v", f)
		}
		c.fill(reply)
		out.Data = reply.Response.Raw
		if o.token {
			out.Data = reply.Response.Token.Raw
		}
	}
	c.Out = out.Path
	return c, env.Write(out)
}

func (o *createOptions) outName(file string) string {
	switch {
	case o.out != "":
		return o.out
	case file == "-":
		return "-"
	case o.requestOnly:
		return file + ".tsq"
	case o.token:
		return file + ".tst"
	}
	return file + ".tsr"
}

func (o *createOptions) makeRequest(env *cli.Env, file string) (*tsp.Request, error) {
	if o.request != "" {
		m, err := readMessage(env, o.request)
		if err != nil {
			return nil, err
		}
		if m.Request == nil {
			return nil, fmt.Errorf("%s is not a request", o.request)
		}
		return m.Request, nil
	}
	var imprint tsp.Imprint
	h, err := parseHash(o.hash)
	if err != nil {
		return nil, err
	}
	if o.digest != "" {
		imprint, err = parseDigest(o.digest, o.hash, o.hashGiven)
	} else {
		imprint, err = Imprint(env, file, h)
	}
	if err != nil {
		return nil, err
	}
	req := tsp.NewRequest(imprint)
	req.CertReq = !o.noCert
	if o.noNonce {
		req.Nonce = nil
	}
	if o.policy != "" {
		if req.Policy, err = parseOID(o.policy); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// classify gives err its exit status: an authority that refuses and an answer
// that does not verify say no; whatever else went wrong leaves it open.
func classify(err error) error {
	var ce *cli.Error
	if errors.As(err, &ce) {
		return err
	}
	var ve *verify.Error
	if errors.As(err, &ve) {
		return cli.Refused(string(ve.Reason), err)
	}
	var r *tsp.Rejection
	if errors.As(err, &r) {
		return cli.Refused(r.Info.String(), err)
	}
	if errors.Is(err, tsp.ErrMalformed) {
		return cli.Refused(string(verify.ReasonMalformed), err)
	}
	return &cli.Error{Code: cli.Unknown, Err: err}
}

func (c *createdJSON) fill(r *tsphttp.Reply) {
	info := r.Response.Token.UnverifiedInfo
	at := info.GenTime
	c.URL, c.Time, c.Verified = r.URL, &at, r.Timestamp != nil
	if info.HasAccuracy {
		seconds := info.Accuracy.Seconds()
		c.Accuracy = &seconds
	}
	c.Policy, c.Serial = info.Policy.String(), info.Serial.Hex()
}

// line is the answer for people.
func (c *createdJSON) line() string {
	if c.Time == nil {
		return c.Out + ": request written"
	}
	accuracy := ""
	if c.Accuracy != nil {
		accuracy = " ± " + time.Duration(*c.Accuracy*float64(time.Second)).String()
	}
	verified := "not verified: no root was given"
	if c.Verified {
		verified = "verified"
	}
	return fmt.Sprintf("%s: stamped %s%s by %s (%s)", c.Out, c.Time.Format(time.RFC3339Nano), accuracy, c.URL, verified)
}
