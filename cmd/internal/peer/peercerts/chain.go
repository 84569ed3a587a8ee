package peercerts

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/gcpca"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// The common names of the namesake.
const (
	leafName         = "sigstore-tsa"
	intermediateName = "sigstore-tsa-intermediate"
	selfSignedName   = "sigstore-tsa-selfsigned"
)

// timeStamping is id-kp-timeStamping (RFC 3161, 2.3).
var timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

const day = 24 * time.Hour

// made is a chain, and what there is to say about it.
type made struct {
	chain  []*x509.Certificate
	report pki.Report
}

// make makes the chain. The keys are opened and the parent's is proved first:
// what a CA has issued cannot be taken back, and a key that does not sign can
// be mended.
func (o *options) make(ctx context.Context, p *plan) (*made, error) {
	parentKey, err := openKey(ctx, o.env, p.parent)
	if err != nil {
		return nil, fmt.Errorf("the key of the parent: %w", err)
	}
	defer parentKey.Close()
	leafKey, err := openKey(ctx, o.env, p.leaf)
	if err != nil {
		return nil, fmt.Errorf("the key of the leaf: %w", err)
	}
	defer leafKey.Close()
	if sameKey(parentKey.Public(), leafKey.Public()) {
		// RFC 3161, 2.1 (10): a TSA signs with a key for nothing else.
		return nil, cli.Hint(errors.New("the parent and the leaf have one key, and a timestamping key signs nothing but timestamps"),
			"make a second key for the parent")
	}
	if err := signer.Prove(ctx, parentKey, crypto.Hash(0)); err != nil {
		return nil, fmt.Errorf("the key of the parent: %s: %w", p.parent, err)
	}
	var above []*x509.Certificate
	if p.google {
		above, err = gcpca.Issue(ctx, gcpca.Config{Options: o.cfg.Google}, gcpca.Request{
			Parent: p.googleParent, PublicKey: parentKey.Public(), Subject: o.subject(intermediateName),
			Purpose: timeStamping, Lifetime: time.Duration(o.validity) * day,
		})
	} else {
		above, err = o.selfSigned(ctx, parentKey)
	}
	if err != nil {
		return nil, err
	}
	leaf, err := pki.CreateLeaf(pki.Config{
		Role: pki.RoleTSA, Subject: o.subject(leafName), PublicKey: leafKey.Public(),
		Issuer: above[0], IssuerKey: signer.Crypto(ctx, parentKey),
		// As long as the parent, as the namesake has it.
		NotBefore: above[0].NotBefore, NotAfter: above[0].NotAfter,
	})
	if err != nil {
		return nil, err
	}
	m := &made{chain: append([]*x509.Certificate{leaf}, above...)}
	at := time.Now()
	if at.Before(leaf.NotBefore) { // Google's clock is a little ahead
		at = leaf.NotBefore
	}
	m.report = pki.Check(m.chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: leafKey.Public(), Time: at})
	if err := m.report.Err(); err != nil {
		return nil, fmt.Errorf("the chain is not fit, and was not written: %w", err)
	}
	return m, nil
}

func (o *options) subject(commonName string) pkix.Name {
	name := pkix.Name{CommonName: commonName}
	if o.orgName != "" {
		name.Organization = []string{o.orgName}
	}
	return name
}

// selfSigned makes the parent that is its own root. Unlike other roots of this
// module it has path length 0, since all it issues is leaves.
func (o *options) selfSigned(ctx context.Context, k signer.Signer) ([]*x509.Certificate, error) {
	cfg := pki.Config{
		Role: pki.RoleTSA, Subject: o.subject(selfSignedName), IssuerKey: signer.Crypto(ctx, k),
		NotBefore: time.Now().Add(-pki.Backdate), NotAfter: time.Now().Add(time.Duration(o.validity) * day),
	}
	template, err := pki.Template(pki.KindRoot, cfg)
	if err != nil {
		return nil, err
	}
	template.MaxPathLenZero = true
	der, err := x509.CreateCertificate(rand.Reader, template, template, template.PublicKey, cfg.IssuerKey)
	if err != nil {
		return nil, fmt.Errorf("create the certificate of the parent: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{root}, nil
}
