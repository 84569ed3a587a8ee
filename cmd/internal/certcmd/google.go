package certcmd

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/gcpca"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// checkGoogle refuses what does not go with an issuer at Google, and reads its
// name. only is that of checkCAs.
func (o *createOptions) checkGoogle(only func(why string, names ...string) error) error {
	if err := only("does not go with --gcp-ca, which has Google issue below a root there",
		"issuer", "issuer-key", "root-key", "root-validity", "root-crl-url", "root-ca-issuer-url"); err != nil {
		return err
	}
	if o.profile.Kind() == pki.KindIntermediate {
		if err := only("does not go with --gcp-ca and --role "+o.role+": Google is sent a request, which the key has to sign", "public-key", "request"); err != nil {
			return err
		}
		if err := only("does not go with --gcp-ca and --role "+o.role+": that is for the pool to say", "crl-url", "ca-issuer-url", "policy-oid"); err != nil {
			return err
		}
	}
	var err error
	if o.googleParent, err = gcpca.ParseParent(o.googleCA); err != nil {
		return cli.Usagef("--gcp-ca: %w", err)
	}
	return nil
}

// googleIssuer is Google CA Service as the CA. The certificates are valid from
// when they are issued, and until their CA ends at the latest.
func (o *createOptions) googleIssuer(validity span) issueFunc {
	return func(ctx context.Context, req *x509.CertificateRequest) ([]*x509.Certificate, error) {
		now := time.Now()
		return gcpca.Issue(ctx, gcpca.Config{Options: o.google}, gcpca.Request{
			Parent: o.googleParent, CSR: req.Raw, Lifetime: validity.end(now).Sub(now),
		})
	}
}

// issueService has Google issue the certificate of a service that is a CA.
func (o *createOptions) issueService(ctx context.Context, m *made) error {
	req, err := pki.CreateRequest(pki.RequestConfig{Role: o.profile, Subject: o.name(), Key: signer.Crypto(ctx, m.service.signer)})
	if err != nil {
		return err
	}
	m.chain, err = o.googleIssuer(o.validity)(ctx, req)
	return err
}

// checkTime is when a chain is checked: now, but not before it begins where the
// clock that it was made by is another one, and a little ahead.
func (o *createOptions) checkTime(chain []*x509.Certificate) time.Time {
	now := time.Now()
	if begins := chain[0].NotBefore; o.googleCA != "" && begins.After(now) {
		return begins
	}
	return now
}
