package certcmd

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
)

// reasonRelease lifts a hold. The word is that of RFC 5280, 5.3.1, where it
// stands in delta lists; a complete list just leaves the certificate out.
const reasonRelease = "removeFromCRL"

type revokeOptions struct {
	list, issuer, reason, time string
	begin                      bool

	at        time.Time
	timeGiven bool
}

// revokeJSON is the answer of "cert revoke --json".
type revokeJSON struct {
	List string `json:"list"`
	// Recorded are the entries as they are now, one for each certificate.
	Recorded []recordedJSON `json:"recorded"`
}

type recordedJSON struct {
	entry
	// Meaning says what becomes of what the key signed.
	Meaning string `json:"meaning"`
}

func newRevoke(env *cli.Env) *cobra.Command {
	var o revokeOptions
	var words strings.Builder
	for _, r := range pki.Reasons() {
		fmt.Fprintf(&words, "  %-21s%s\n", r, meaning(r))
	}
	cmd := &cobra.Command{
		Use:   "revoke --list FILE --issuer CHAIN.pem --reason REASON CERT.pem...",
		Short: "Record that certificates are revoked",
		Long: `Record in a file that certificates are revoked. Nobody learns of it until cert
crl has signed the list and the list is where verifiers look for it.

The reason decides over what was signed before (RFC 3161, 4.1):

` + words.String() + `  ` + fmt.Sprintf("%-21s%s", reasonRelease, "lifts a certificateHold, as if it had never been") + `

An entry stays for ever, since timestamps are verified long after a certificate
has ended. A second revocation of a certificate is refused, with two exceptions:
a hold may be lifted or made final, and any other reason may give way to a
compromise that came to light later.

If a file holds a chain, its first certificate is meant.`,
		Example: `  fencepost cert revoke --list issuing.json --new --issuer chain.pem --reason superseded 2026/chain.pem
  fencepost cert revoke --list issuing.json --issuer chain.pem --reason keyCompromise --time 2026-11-20T08:00:00Z 2026/chain.pem`,
		Args: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				return cli.Usagef("no certificate given")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.timeGiven = cmd.Flags().Changed("time")
			return o.run(cmd.Context(), env, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.list, "list", "", "the `file` that remembers what this issuer has revoked (required)")
	f.BoolVar(&o.begin, "new", false, "begin the list: there is none yet")
	f.StringVar(&o.issuer, "issuer", "", "the PEM `file` with the chain of the issuer, such as the chain.pem of what it issued: the lowest CA is meant (required)")
	f.StringVar(&o.reason, "reason", "", "why, in a `word` of RFC 5280, 5.3.1 (required)")
	f.StringVar(&o.time, "time", "", "the `time` from which on the certificate counts as revoked, as 2030-01-31 or RFC 3339 (default now)")
	return cmd
}

// meaning says what a reason does to what was signed.
func meaning(r pki.Reason) string {
	switch {
	case r == pki.ReasonCertificateHold:
		return "no timestamp or other signature counts as long as the hold lasts"
	case r.KeepsEarlier():
		return "timestamps and other signatures made before stay valid"
	}
	return "no timestamp or other signature counts any more, whenever it was made"
}

// listFlags are what revoke and crl have in common.
func listFlags(list, issuer string) error {
	switch {
	case list == "":
		return cli.Usagef("--list is needed: the file that remembers what was revoked")
	case issuer == "":
		return cli.Usagef("--issuer is needed: the chain of the CA that issued the certificates")
	}
	return nil
}

func (o *revokeOptions) run(ctx context.Context, env *cli.Env, files []string) (err error) {
	if err := listFlags(o.list, o.issuer); err != nil {
		return err
	}
	if err := o.parse(); err != nil {
		return err
	}
	chain, err := readIssuer(env, o.issuer)
	if err != nil {
		return err
	}
	issuer := chain[0]
	var certs []*x509.Certificate
	for _, file := range files {
		cert, err := readIssued(env, file, issuer)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, cert)
	}
	l, err := openList(ctx, env, o.list, listOf{issuer: issuer, begins: o.begin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	answer := revokeJSON{List: o.list}
	for i, cert := range certs {
		e, err := o.record(l.list, cert)
		if err != nil {
			return fmt.Errorf("%s: %w", files[i], err)
		}
		recorded := recordedJSON{entry: *e, Meaning: meaning(e.Reason)}
		if e.Released != nil {
			recorded.Meaning = "it is not revoked"
		}
		answer.Recorded = append(answer.Recorded, recorded)
		if len(cert.CRLDistributionPoints) == 0 {
			env.Warn("%s names no revocation list: only verifiers that are given the list will know", files[i])
		}
	}
	if err := l.write(env); err != nil {
		return err
	}
	return answer.tell(env)
}

// parse reads the reason and the time.
func (o *revokeOptions) parse() error {
	if o.reason != reasonRelease {
		if _, err := pki.ParseReason(o.reason); err != nil {
			var words []string
			for _, r := range pki.Reasons() {
				words = append(words, string(r))
			}
			list := strings.Join(append(words, reasonRelease), ", ")
			if o.reason == "" {
				return cli.Usagef("--reason is needed, since it decides over what was signed before; one of %s", list)
			}
			return cli.Usagef("--reason %q is not one of %s", o.reason, list)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	o.at = now
	if !o.timeGiven {
		return nil
	}
	var err error
	if o.at, err = parseTime("time", o.time); err != nil {
		return err
	}
	if o.at = o.at.UTC().Truncate(time.Second); o.at.After(now) {
		return cli.Usagef("--time %s is still to come; a list says what is revoked, not what will be", o.time)
	}
	return nil
}

// readIssued reads the certificate to be revoked, and sees that it is the
// issuer's to revoke.
func readIssued(env *cli.Env, file string, issuer *x509.Certificate) (*x509.Certificate, error) {
	data, err := env.ReadFile(file, pki.MaxFileSize)
	if err != nil {
		return nil, err
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		return nil, err
	}
	cert := chain[0]
	switch {
	case cert.Equal(issuer):
		return nil, cli.Hint(fmt.Errorf("%q is the issuer itself, and no CA can revoke its own certificate", cert.Subject.String()),
			"give the chain of the CA above it with --issuer")
	case !sameName(issuer, cert):
		return nil, cli.Hint(fmt.Errorf("%q was issued by %q and not by %q", cert.Subject.String(), cert.Issuer.String(), issuer.Subject.String()),
			"give the chain of its issuer with --issuer")
	}
	// To revoke a certificate of old times is no use of SHA-1, on which
	// crypto/x509 panics with fips140=only.
	fips140.WithoutEnforcement(func() {
		err = issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	})
	if err != nil {
		return nil, fmt.Errorf("%q bears the name of %q as its issuer, but not its signature: %s", cert.Subject.String(), issuer.Subject.String(), trimX509(err))
	}
	return cert, nil
}

// record enters a certificate, or changes its entry where that is allowed.
func (o *revokeOptions) record(l *list, cert *x509.Certificate) (*entry, error) {
	if o.at.Before(cert.NotBefore) {
		return nil, fmt.Errorf("it cannot be revoked from %s on, before its validity begins (%s)", date(o.at), date(cert.NotBefore))
	}
	e := l.find(cert.SerialNumber)
	switch {
	case e == nil && o.reason == reasonRelease:
		return nil, errors.New("it is not on hold")
	case e == nil:
		l.Revoked = append(l.Revoked, entry{
			Serial: serialText(cert.SerialNumber), Subject: cert.Subject.String(), Time: o.at, Reason: pki.Reason(o.reason),
		})
		return &l.Revoked[len(l.Revoked)-1], nil
	case e.Reason == pki.ReasonCertificateHold && o.reason == reasonRelease:
		if o.at.Before(e.Time) {
			return nil, fmt.Errorf("it is on hold since %s, and the hold cannot end before", date(e.Time))
		}
		e.Released = &o.at
		return e, nil
	case o.reason == reasonRelease:
		return nil, fmt.Errorf("it was revoked at %s, %s, and that is final: only a hold can be lifted", date(e.Time), e.Reason)
	case e.Reason == pki.ReasonCertificateHold && o.reason == string(pki.ReasonCertificateHold):
		return nil, fmt.Errorf("it is on hold since %s already", date(e.Time))
	case e.Reason == pki.ReasonCertificateHold, compromise(pki.Reason(o.reason)) && !compromise(e.Reason):
		// The certificate was on the list all the time, so the revocation counts
		// from when it first was, unless it is said to be older.
		if o.timeGiven && o.at.After(e.Time) {
			return nil, fmt.Errorf("it is on the list since %s, and cannot be revoked from a later time on, %s", date(e.Time), date(o.at))
		}
		if o.timeGiven {
			e.Time = o.at
		}
		e.Reason = pki.Reason(o.reason)
		return e, nil
	}
	return nil, fmt.Errorf("it was revoked at %s already, %s", date(e.Time), e.Reason)
}

// compromise says that somebody else may have signed.
func compromise(r pki.Reason) bool {
	return r == pki.ReasonKeyCompromise || r == pki.ReasonCACompromise || r == pki.ReasonAACompromise
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// tell says what was recorded, and what is still to do.
func (a *revokeJSON) tell(env *cli.Env) error {
	if env.JSON {
		return env.WriteJSON(a)
	}
	var b bytes.Buffer
	for _, r := range a.Recorded {
		what := fmt.Sprintf("%s from %s on", r.Reason, date(r.Time))
		if r.Released != nil {
			what = fmt.Sprintf("on hold from %s to %s", date(r.Time), date(*r.Released))
		}
		fmt.Fprintln(&b, cli.Printable(fmt.Sprintf("%s (serial %s): %s; %s", r.Subject, r.Serial, what, r.Meaning)))
	}
	fmt.Fprintln(&b, cli.Printable("nobody knows yet: sign the list with cert crl --list "+a.List))
	_, err := env.Stdout.Write(b.Bytes())
	return err
}
