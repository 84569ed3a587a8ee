package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// stamped returns an artifact, the response that an authority gave for it, its
// chain with the leaf first, and the request.
func stamped() (artifact string, response []byte, chain []*x509.Certificate, req *tsp.Request, err error) {
	forge, err := tsptest.GenerateForge()
	if err != nil {
		return "", nil, nil, nil, err
	}
	forge.Time = time.Now()
	for _, der := range forge.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return "", nil, nil, nil, err
		}
		chain = append(chain, cert)
	}
	artifact = "the artifact"
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader(artifact))
	if err != nil {
		return "", nil, nil, nil, err
	}
	req = tsp.NewRequest(imprint)
	der, err := req.Marshal()
	if err != nil {
		return "", nil, nil, nil, err
	}
	response, _ = forge.Respond(context.Background(), der)
	return artifact, response, chain, req, nil
}

// What verification.VerifyTimestampResponse(response, artifact, opts) does in
// sigstore/timestamp-authority: read the response, hash the artifact with the
// hash that the token names, and decide.
func ExamplePolicy_Token_verifyTimestampResponse() {
	verifyTimestampResponse := func(response []byte, artifact io.Reader, policy verify.Policy) (*verify.Timestamp, error) {
		r, err := tsp.ParseResponse(response)
		if err != nil {
			return nil, err
		}
		if r.Rejection != nil {
			return nil, r.Rejection
		}
		imprint, err := tsp.ReadImprint(r.Token.UnverifiedInfo.Imprint.Hash, artifact)
		if err != nil {
			return nil, err
		}
		return policy.Token(r.Token, imprint)
	}

	artifact, response, chain, _, err := stamped()
	if err != nil {
		log.Fatal(err)
	}
	policy := verify.Policy{Roots: chain[2:]}
	stamp, err := verifyTimestampResponse(response, strings.NewReader(artifact), policy)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("verified, just now:", time.Since(stamp.Time) < time.Minute)

	_, err = verifyTimestampResponse(response, strings.NewReader("another artifact"), policy)
	var failed *verify.Error
	fmt.Println(errors.As(err, &failed), failed.Reason)
	// Output:
	// verified, just now: true
	// true imprint
}

// Each field of VerifyOpts in sigstore/timestamp-authority, and the Reason that
// tells that it was not met. CurrentTime has no counterpart: a chain is always
// held against the time of the token.
func ExamplePolicy_verifyOpts() {
	artifact, response, chain, req, err := stamped()
	if err != nil {
		log.Fatal(err)
	}
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader(artifact))
	if err != nil {
		log.Fatal(err)
	}
	oid, err := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if err != nil {
		log.Fatal(err)
	}
	good := verify.Policy{
		Policies:      []x509.OID{oid},                        // OID
		Certificate:   chain[0],                               // TSACertificate
		Intermediates: chain[1:2],                             // Intermediates
		Roots:         chain[2:],                              // Roots
		Nonce:         tsp.NewInteger(req.Nonce.Big()),        // Nonce, a *big.Int
		CommonName:    chain[0].Subject.CommonName,            // CommonName
		Now:           func() time.Time { return time.Now() }, // bounds tokens from the future only
	}
	if _, err := good.Bytes(response, imprint); err != nil {
		log.Fatal(err)
	}

	other, err := x509.ParseOID("1.2.3.4")
	if err != nil {
		log.Fatal(err)
	}
	for _, bad := range []struct {
		field  string
		policy func(p *verify.Policy)
	}{
		{"OID", func(p *verify.Policy) { p.Policies = []x509.OID{other} }},
		{"TSACertificate", func(p *verify.Policy) { p.Certificate = chain[1] }},
		{"Roots", func(p *verify.Policy) { p.Roots = nil }},
		{"Nonce", func(p *verify.Policy) { p.Nonce = tsp.NewInteger(big.NewInt(42)) }},
		{"CommonName", func(p *verify.Policy) { p.CommonName = "Somebody else" }},
	} {
		policy := good
		bad.policy(&policy)
		_, err := policy.Bytes(response, imprint)
		var failed *verify.Error
		if !errors.As(err, &failed) {
			log.Fatal(err)
		}
		fmt.Printf("%-14s %s\n", bad.field, failed.Reason)
	}
	// Output:
	// OID            policy
	// TSACertificate pinned-certificate
	// Roots          no-roots
	// Nonce          nonce
	// CommonName     pinned-certificate
}

// A refusal, which VerifyTimestampResponse reports as a ParseError of another
// module, says what the authority said.
func ExamplePolicy_Bytes_refused() {
	_, _, chain, req, err := stamped()
	if err != nil {
		log.Fatal(err)
	}
	refusal := tsp.Reject(tsp.UnacceptedPolicy, "policy 1.2.3.4 is not offered").Marshal()
	_, err = verify.Policy{Roots: chain[2:]}.Bytes(refusal, req.Imprint)
	var failed *verify.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Reason, errors.Is(err, tsp.UnacceptedPolicy))
	}
	// Output: refused true
}

// ErrWeakHashAlg and ErrUnsupportedHashAlg of VerifyTimestampResponse: one
// reason for both, because neither is a hash to rely on.
func ExamplePolicy_Token_weakHash() {
	forge, err := tsptest.GenerateForge()
	if err != nil {
		log.Fatal(err)
	}
	sha1 := "\x2b\x0e\x03\x02\x1a" // 1.3.14.3.2.26
	forge.Info = func(i *tsptest.InfoFields) {
		i.Imprint = tsptest.RawImprint(sha1, nil, bytes.Repeat([]byte{7}, 20))
	}
	response, err := forge.MakeResponse()
	if err != nil {
		log.Fatal(err)
	}
	root, err := forge.Root()
	if err != nil {
		log.Fatal(err)
	}
	_, err = verify.Policy{Roots: []*x509.Certificate{root}}.Bytes(response, tsp.Imprint{})
	var failed *verify.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Reason)
	}
	// Output: weak-hash
}
