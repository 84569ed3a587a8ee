package peercli

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timestampcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsaclient"
	"github.com/fencepost-tsa/fencepost/tsp"
)

type timestampOptions struct {
	*global
	artifact, policy *peer.Value
	hash             string
	nonce            bool
	certificate      bool
	out              string
}

func newTimestamp(g *global) *cobra.Command {
	o := &timestampOptions{global: g, artifact: peer.File(), policy: peer.OID()}
	cmd := &cobra.Command{
		Use:   "timestamp --artifact FILE",
		Short: "Ask for a timestamp of a file",
		Long: `Ask an authority for an RFC 3161 timestamp of a file, of which only a digest
leaves this machine. The response is compared with the request, and written to
--out; whoever relies on it verifies it with "timestamp-cli verify".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.Var(o.artifact, "artifact", "the file to stamp (\"-\": standard input); required")
	f.StringVar(&o.hash, "hash", "sha256", "the hash algorithm: sha256, sha384 or sha512")
	f.BoolVar(&o.nonce, "nonce", true, "send a random nonce, which shows that the answer is fresh")
	f.BoolVar(&o.certificate, "certificate", true, "ask for the authority's certificates")
	f.Var(o.policy, "tsa-policy", "ask for this policy, such as 1.3.6.1.4.1.57264.2")
	f.StringVar(&o.out, "out", "response.tsr", "write the response to this file, replacing what is there (\"-\": standard output)")
	required(cmd, "artifact")
	return cmd
}

// required marks flags that must be given, somewhere.
func required(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic("peercli: internal error: " + err.Error())
		}
	}
}

// timestampJSON is the answer of "timestamp --format json".
type timestampJSON struct {
	Timestamp time.Time
	Location  string
}

func (o *timestampOptions) run(cmd *cobra.Command) error {
	text := o.env.Stdout // where the conversation goes: as the namesake has it, with the answer
	if o.out == "-" {
		text = o.env.Stderr
	}
	if o.out == "-" && o.json() {
		return cli.Usagef("--format json and --out - would both write to standard output")
	}
	out := cli.File{Path: o.out, Mode: 0o600, Inputs: []string{o.artifact.String()}}
	if err := o.env.Vacant(out); err != nil { // before anybody is asked
		return err
	}
	connection := tsaclient.Connection{URLs: []string{withoutSlash(o.server)}, Timeout: o.timeout, Retries: 2}
	client, err := connection.Client(o.env, nil)
	if err != nil {
		return err
	}
	req, err := o.request()
	if err != nil {
		return err
	}
	if !o.json() {
		fmt.Fprintln(text, "Generating a new signed timestamp")
	}
	reply, err := client.Ask(cmd.Context(), req)
	if err != nil {
		return err
	}
	out.Data = reply.Response.Raw
	if err := o.env.Write(out); err != nil {
		return err
	}
	at := reply.Response.Token.UnverifiedInfo.GenTime
	if o.json() {
		return writeJSON(o.env.Stdout, timestampJSON{at, o.out})
	}
	_, err = fmt.Fprintf(text, "Artifact timestamped at %s\nWrote timestamp response to %s\n", at, o.out)
	return err
}

func (o *timestampOptions) request() (*tsp.Request, error) {
	var h crypto.Hash
	switch o.hash {
	case "sha256":
		h = crypto.SHA256
	case "sha384":
		h = crypto.SHA384
	case "sha512":
		h = crypto.SHA512
	default:
		return nil, cli.Usagef("--hash %q is not one of sha256, sha384, sha512", o.hash)
	}
	imprint, err := timestampcmd.Imprint(o.env, o.artifact.String(), h)
	if err != nil {
		return nil, err
	}
	req := tsp.NewRequest(imprint)
	req.CertReq = o.certificate
	if !o.nonce {
		req.Nonce = nil
	}
	if text := o.policy.String(); text != "" {
		if req.Policy, err = x509.ParseOID(text); err != nil {
			return nil, cli.Usagef("--tsa-policy: %w", err)
		}
	}
	return req, nil
}

// withoutSlash takes a lone slash off a URL. The namesake asks at its own path
// whatever the URL says, so that users of it may have one there.
func withoutSlash(server string) string {
	if u, err := url.Parse(server); err == nil && u.Path == "/" && u.RawQuery == "" {
		u.Path = ""
		return u.String()
	}
	return server
}

// writeJSON writes v on one line, as the namesake does.
func writeJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
