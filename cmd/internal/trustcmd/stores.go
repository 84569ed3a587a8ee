package trustcmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

// storeOptions say which trust store is meant.
type storeOptions struct {
	place
	kind string // --type
	name string // --store
}

func (o *storeOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.kind, "type", "t", "", "the `type` of the store: ca, signingAuthority or tsa")
	f.StringVarP(&o.name, "store", "s", "", "the `name` of the store")
}

// need refuses a command line that leaves the store open.
func (o *storeOptions) need() error {
	switch {
	case o.kind == "":
		return cli.Usagef("the store needs a --type: ca, signingAuthority or tsa")
	case o.name == "":
		return cli.Usagef("the store needs a name: --store NAME")
	}
	return nil
}

// open returns the stores, and the type that is meant.
func (o *storeOptions) open() (*truststore.Store, truststore.Type, error) {
	var kind truststore.Type
	var err error
	if o.kind != "" {
		if kind, err = truststore.ParseType(o.kind); err != nil {
			return nil, "", cli.Hint(cli.Usagef("%w", err), "%s", cli.HintOf(err))
		}
	}
	d, err := o.dir()
	if err != nil {
		return nil, "", err
	}
	// Nothing here is verified by the system's store.
	return truststore.Open(d.Path, nil), kind, nil
}

// refused gives errors of the trust stores their exit status: certificates that
// do not go into a store are a no.
func refused(err error) error {
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok { // each is of a file
		all = several.Unwrap()
	}
	out := &cli.Error{Code: cli.No, Err: err}
	for _, err := range all {
		var e *truststore.Error
		if !errors.As(err, &e) {
			out.Code = cli.Unknown
			continue
		}
		switch out.Reason = string(e.Reason); e.Reason {
		case truststore.ReasonUnsuitable, truststore.ReasonUnreadable:
		case truststore.ReasonName:
			out.Code, out.Usage = cli.Unknown, true
		default:
			out.Code = cli.Unknown
		}
	}
	return out
}

// fileJSON is a file of a trust store, in the answer of every command.
type fileJSON struct {
	Type  truststore.Type `json:"type"`
	Store string          `json:"store"`
	// File is its name in the store; absent if Error is about the store as a
	// whole.
	File         string                `json:"file,omitempty"`
	Path         string                `json:"path"`
	Certificates []inspect.Certificate `json:"certificates"`
	// Error says why nothing verifies with the store, Reason in a word.
	Error  string            `json:"error,omitempty"`
	Reason truststore.Reason `json:"reason,omitempty"`
}

func describe(e truststore.Entry) fileJSON {
	out := fileJSON{Type: e.Type, Store: e.Store, File: e.File, Path: e.Path, Certificates: inspect.DescribeChain(e.Certificates)}
	if e.Err != nil {
		out.Error = e.Err.Error()
		var te *truststore.Error
		if errors.As(e.Err, &te) {
			out.Reason = te.Reason
		}
	}
	return out
}

// grow hangs a certificate below n.
func grow(n *inspect.Node, c inspect.Certificate) {
	one := n.Add(c.Subject)
	if c.Issuer != c.Subject {
		one.Add("issued by " + c.Issuer)
	}
	one.Add(c.Key + ", " + c.Validity())
	one.Add("serial number " + c.SerialNumber)
	one.Add("SHA-256 fingerprint " + c.SHA256)
}

// subjects are the certificates of a file in a few words.
func subjects(certs []inspect.Certificate) string {
	var out []string
	for _, c := range certs {
		out = append(out, fmt.Sprintf("%s (until %s)", c.Subject, c.NotAfter.Format(time.DateOnly)))
	}
	return strings.Join(out, "; ")
}
