package timestampcmd

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// Trust is what a person says about whom to believe. It becomes a
// [verify.Policy].
type Trust struct {
	Roots         []string // files of trusted roots
	Chain         string   // file of a chain whose last certificate is the trusted root
	Intermediates []string // files of further certificates
	Certificate   string   // file of the authority's own certificate
	CommonName    string
	Policies      []string // acceptable policies
	CRLs          []string // files of revocation lists
	MaxFuture     time.Duration
	LegacyESS     bool
}

// flags defines the flags of t on cmd.
func (t *Trust) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&t.Roots, "roots", nil, "trust the root certificates in this PEM `file`; may be repeated")
	f.StringVar(&t.Chain, "chain", "", "trust the last certificate of the chain in this PEM `file`, and use the others")
	f.StringArrayVar(&t.Intermediates, "intermediates", nil, "use the certificates in this PEM `file` to build the chain; may be repeated")
	f.StringVar(&t.Certificate, "certificate", "", "accept only the authority certificate in this PEM `file`")
	f.StringVar(&t.CommonName, "common-name", "", "accept only an authority certificate with this common `name`")
	f.StringArrayVar(&t.CRLs, "crl", nil, "check revocation with the list in this `file` (DER or PEM); may be repeated")
	f.DurationVar(&t.MaxFuture, "max-future", 5*time.Minute, "how far ahead of this machine's clock a timestamp may be")
	f.BoolVar(&t.LegacyESS, "allow-legacy-esscertid-v1", false, "accept tokens that name their signer by SHA-1 only")
}

// refuseEmpty refuses flags and files without a text.
func refuseEmpty(cmd *cobra.Command, files []string) error {
	if err := cli.RefuseEmpty(cmd); err != nil {
		return err
	}
	if slices.Contains(files, "") {
		return cli.Usagef("the name of a file is empty")
	}
	return nil
}

// Given reports whether t names anything to trust.
func (t *Trust) Given() bool { return len(t.Roots) > 0 || t.Chain != "" }

// Policy reads the files and returns the policy that they make.
func (t *Trust) Policy(env *cli.Env) (verify.Policy, error) {
	p := verify.Policy{
		CommonName:             t.CommonName,
		MaxFuture:              t.MaxFuture,
		AllowLegacyESSCertIDv1: t.LegacyESS,
		Cache:                  &verify.ChainCache{},
	}
	if !t.Given() {
		return p, cli.Hint(cli.Usagef("nothing to trust: a timestamp is verified against a root certificate"),
			"name it with --roots FILE, or a whole chain with --chain FILE")
	}
	for _, file := range t.Roots {
		certs, err := env.ReadCertificates(file)
		if err != nil {
			return p, err
		}
		p.Roots = append(p.Roots, certs...)
	}
	if t.Chain != "" {
		certs, err := env.ReadCertificates(t.Chain)
		if err != nil {
			return p, err
		}
		last := len(certs) - 1
		p.Roots = append(p.Roots, certs[last])
		p.Intermediates = append(p.Intermediates, certs[:last]...)
	}
	for _, file := range t.Intermediates {
		certs, err := env.ReadCertificates(file)
		if err != nil {
			return p, err
		}
		p.Intermediates = append(p.Intermediates, certs...)
	}
	if t.Certificate != "" {
		certs, err := env.ReadCertificates(t.Certificate)
		if err != nil {
			return p, err
		}
		if len(certs) != 1 {
			return p, fmt.Errorf("%s holds %d certificates, --certificate needs one", t.Certificate, len(certs))
		}
		p.Certificate = certs[0]
	}
	for _, text := range t.Policies {
		id, err := parseOID(text)
		if err != nil {
			return p, err
		}
		p.Policies = append(p.Policies, id)
	}
	if len(t.CRLs) > 0 {
		crls, err := revocation.ReadCRLs(t.CRLs, env.ReadFile)
		if err != nil {
			return p, err
		}
		p.Revocation = crls
	}
	return p, nil
}

func parseOID(text string) (x509.OID, error) {
	id, err := x509.ParseOID(text)
	if err != nil {
		return x509.OID{}, cli.Usagef("%q is not an object identifier such as 1.2.3.4", text)
	}
	return id, nil
}

// readMessage reads a request, response or token in any form.
func readMessage(env *cli.Env, file string) (*tsp.Message, error) {
	data, err := env.ReadFile(file, 2*tsp.MaxMessage)
	if err != nil {
		return nil, err
	}
	m, err := tsp.ParseAny(data)
	if err != nil {
		return nil, cli.Refused(string(verify.ReasonMalformed), fmt.Errorf("%s: %w", file, err))
	}
	return m, nil
}
