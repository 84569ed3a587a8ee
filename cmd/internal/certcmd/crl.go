package certcmd

import (
	"bytes"
	"context"
	"crypto"
	"crypto/fips140"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

type crlOptions struct {
	list, issuer, issuerKey, out string
	begin, pem                   bool
	nextUpdate                   span
}

// crlJSON is the answer of "cert crl --json".
type crlJSON struct {
	// CRL is the file that was written, "-" for standard output.
	CRL    string `json:"crl"`
	Issuer string `json:"issuer"`
	// Number is in decimal.
	Number     string    `json:"number"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
	// Revoked is how many certificates are on it.
	Revoked int `json:"revoked"`
}

func newCRL(env *cli.Env) *cobra.Command {
	o := crlOptions{nextUpdate: span{days: 7}}
	cmd := &cobra.Command{
		Use:   "crl --list FILE --issuer CHAIN.pem --issuer-key URI --out FILE.crl",
		Short: "Sign a list of what was revoked",
		Long: `Sign a certificate revocation list (RFC 5280, 5) of what cert revoke has recorded,
and put it where it is to be served, over plain http. A list is wanted from the
first day on, when it is empty, and again before each next update: a verifier
that finds it stale refuses every timestamp of the authority.

The number of each list is greater than that of the one before. It is recorded in
FILE before the new list leaves, so that no number is ever used twice. A list at
the place of the new one is looked at first: if it is newer, or holds what FILE
does not, FILE is an old copy, and nothing is signed.`,
		Example: `  fencepost cert crl --list issuing.json --new --issuer chain.pem --issuer-key file:ca/intermediate-key.pem --out /srv/www/issuing.crl
  fencepost cert crl --list issuing.json --issuer chain.pem --issuer-key pkcs11:token=ca\;object=issuing --next-update 1mo --out issuing.crl --pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), env) },
	}
	f := cmd.Flags()
	f.StringVar(&o.list, "list", "", "the `file` that remembers what this issuer has revoked (required)")
	f.BoolVar(&o.begin, "new", false, "begin the list: nothing was revoked yet")
	f.StringVar(&o.issuer, "issuer", "", "the PEM `file` with the chain of the issuer, such as the chain.pem of what it issued: the lowest CA is meant (required)")
	f.StringVar(&o.issuerKey, "issuer-key", "", "the `URI` of the key of that CA (required)")
	f.StringVar(&o.out, "out", "", "the `file` for the list; that of the same issuer is replaced (required)")
	f.Var(&o.nextUpdate, "next-update", "how long the list serves: the next one has to be out before (12mo at most for public authorities)")
	f.BoolVar(&o.pem, "pem", false, "write PEM; the list that verifiers fetch has to be DER")
	return cmd
}

func (o *crlOptions) run(ctx context.Context, env *cli.Env) (err error) {
	if err := listFlags(o.list, o.issuer); err != nil {
		return err
	}
	switch {
	case o.issuerKey == "":
		return cli.Usagef("--issuer-key is needed: the URI of the key of the issuer")
	case o.out == "":
		return cli.Usagef("--out is needed: the file for the list")
	case o.out == "-" && env.JSON:
		return cli.Usagef("--json writes the answer where --out - writes the list; name a file")
	}
	chain, err := readIssuer(env, o.issuer)
	if err != nil {
		return err
	}
	issuer := chain[0]
	key, err := openKey(ctx, env, o.issuerKey, issuer)
	if err != nil {
		return err
	}
	defer key.Close() // what it signed is verified below
	if pub, ok := issuer.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && !pub.Equal(key.Public()) {
		return fmt.Errorf("--issuer-key is not the key of %q", issuer.Subject.String())
	}
	if err := signer.Prove(ctx, key, crypto.Hash(0)); err != nil { // or a number would be lost
		return fmt.Errorf("--issuer-key %s: %w", o.issuerKey, err)
	}
	l, err := openList(ctx, env, o.list, listOf{issuer: issuer, begins: o.begin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.release()) }()
	if err := o.compare(env, l.list, issuer); err != nil {
		return err
	}
	number, err := l.number()
	if err != nil {
		return err
	}
	number.Add(number, big.NewInt(1))
	// The number is taken before it is used. Should anything fail from here on,
	// it is skipped, which RFC 5280, 5.2.3 allows.
	l.Number = number.String()
	if err := l.write(env); err != nil {
		return err
	}
	signed, der, err := o.sign(l.list, issuer, pki.CRLConfig{Issuer: issuer, IssuerKey: signer.Crypto(ctx, key), Number: number})
	if err != nil {
		return err
	}
	if o.pem {
		der = pem.EncodeToMemory(&pem.Block{Type: pemCRL, Bytes: der})
	}
	if err := env.Write(cli.File{Path: o.out, Data: der, Inputs: []string{o.list, o.issuer}}); err != nil {
		return err
	}
	answer := crlJSON{
		CRL: o.out, Issuer: issuer.Subject.String(), Number: number.String(),
		ThisUpdate: signed.ThisUpdate.UTC(), NextUpdate: signed.NextUpdate.UTC(), Revoked: len(signed.RevokedCertificateEntries),
	}
	switch {
	case env.JSON:
		return env.WriteJSON(answer)
	case o.out == "-":
		return nil
	}
	return env.Answer("%s: number %s of %s, %s revoked, next update before %s", o.out, answer.Number, answer.Issuer,
		cli.Plural(answer.Revoked, "certificate"), date(answer.NextUpdate))
}

// pemCRL is the label of a list in PEM (RFC 7468, 6).
const pemCRL = "X509 CRL"

// sign makes the list and reads it back, as a verifier would.
func (o *crlOptions) sign(l *list, issuer *x509.Certificate, cfg pki.CRLConfig) (*x509.RevocationList, []byte, error) {
	cfg.ThisUpdate = time.Now().UTC().Truncate(time.Second)
	cfg.NextUpdate = o.nextUpdate.end(cfg.ThisUpdate).Add(time.Second)
	cfg.Revoked = l.revocations()
	// No entry is ever removed, and a verifier that is not told so would learn
	// nothing about a certificate that has ended, however old its timestamps.
	cfg.ExpiredSince = issuer.NotBefore
	der, err := pki.CreateCRL(cfg)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.ParseRevocationList(der)
	if err == nil {
		err = signed.CheckSignatureFrom(issuer)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the list that was made does not verify, and is not released: %s", trimX509(err))
	}
	if n := len(signed.RevokedCertificateEntries); n != len(cfg.Revoked) || signed.Number.Cmp(cfg.Number) != 0 {
		return nil, nil, fmt.Errorf("internal error: the list that was made has the number %v and %d entries, want %v and %d", signed.Number, n, cfg.Number, len(cfg.Revoked))
	}
	return signed, der, nil
}

// compare holds the file against the list that is to be replaced: an old copy of
// the file, out of a backup for instance, would make certificates valid again.
func (o *crlOptions) compare(env *cli.Env, l *list, issuer *x509.Certificate) error {
	if o.out == "-" {
		return nil
	}
	data, err := env.ReadFile(o.out, maxListSize)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 { // /dev/null and the like
		return nil
	} else if err != nil {
		return err
	}
	if block, rest := pem.Decode(data); block != nil && block.Type == pemCRL && len(bytes.TrimSpace(rest)) == 0 {
		data = block.Bytes
	}
	old, err := x509.ParseRevocationList(data)
	if err == nil {
		// Nothing is believed of it but that it is there; see revoke.
		fips140.WithoutEnforcement(func() { err = old.CheckSignatureFrom(issuer) })
	}
	if err != nil {
		return cli.Hint(fmt.Errorf("%s is there, and is not a revocation list of %q: %s", o.out, issuer.Subject.String(), trimX509(err)),
			"name another file with --out, or move that one away")
	}
	number, err := l.number()
	if err != nil {
		return err
	}
	stale := func(format string, args ...any) error {
		return cli.Hint(fmt.Errorf("%s: "+format, append([]any{o.list}, args...)...),
			"the file is not the last one: find that, or what was revoked would be valid again")
	}
	if old.Number != nil && old.Number.Cmp(number) > 0 {
		return stale("its last list has the number %v, and that in %s already %v", number, o.out, old.Number)
	}
	known := map[string]bool{} // released holds included
	for _, e := range l.Revoked {
		known[e.Serial] = true
	}
	for _, e := range old.RevokedCertificateEntries {
		if !known[serialText(e.SerialNumber)] {
			return stale("it does not have the certificate with the serial number %x, which %s revokes", e.SerialNumber, o.out)
		}
	}
	return nil
}
