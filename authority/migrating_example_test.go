package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// What verification.VerifyRequest decides in sigstore/timestamp-authority is
// part of answering a request here, and each of its errors is a failure
// information that errors.Is finds.
func ExampleAuthority_Respond_verifyRequest() {
	key, chain, err := identity()
	if err != nil {
		log.Fatal(err)
	}
	policy, err := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if err != nil {
		log.Fatal(err)
	}
	tsa, err := authority.New(authority.Config{Signer: key, Chain: chain, Clock: clock.System(500 * time.Millisecond), Policy: policy})
	if err != nil {
		log.Fatal(err)
	}

	with := func(change func(r *tsp.Request)) []byte {
		imprint, err := tsp.NewImprint(crypto.SHA256, make([]byte, 32))
		if err != nil {
			log.Fatal(err)
		}
		r := tsp.NewRequest(imprint)
		change(r)
		der, err := r.Marshal()
		if err != nil {
			log.Fatal(err)
		}
		return der
	}
	imprint := func(algorithm string, length int) []byte {
		r := tsptest.NewRequestFields()
		r.Imprint = tsptest.RawImprint(algorithm, nil, bytes.Repeat([]byte{7}, length))
		return r.Marshal()
	}
	const sha1, md5, sha256 = "\x2b\x0e\x03\x02\x1a", "\x2a\x86\x48\x86\xf7\x0d\x02\x05", "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	other, err := x509.ParseOID("1.2.3.4")
	if err != nil {
		log.Fatal(err)
	}
	for _, request := range []struct {
		peer string
		der  []byte
		want tsp.FailureInfo
	}{
		{"ErrWeakHashAlg", imprint(sha1, 20), tsp.BadAlg},
		{"ErrUnsupportedHashAlg", imprint(md5, 16), tsp.BadAlg},
		{"ErrInconsistentDigestLength", imprint(sha256, 31), tsp.BadDataFormat},
		{"ErrUnacceptedPolicy", with(func(r *tsp.Request) { r.Policy = other }), tsp.UnacceptedPolicy},
		{"ErrUnacceptedExtension", with(func(r *tsp.Request) {
			r.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}), tsp.UnacceptedExtension},
	} {
		_, out := tsa.Respond(context.Background(), request.der)
		fmt.Println(request.peer, errors.Is(out.Rejection, request.want), out.Rejection.Text)
	}
	// Output:
	// ErrWeakHashAlg true hash algorithm SHA-1 is not accepted, only SHA-256, SHA-384, SHA-512
	// ErrUnsupportedHashAlg true hash algorithm MD5 is not accepted, only SHA-256, SHA-384, SHA-512
	// ErrInconsistentDigestLength true messageImprint: digest is 31 bytes long, SHA-256 needs 32
	// ErrUnacceptedPolicy true policy 1.2.3.4 is not offered
	// ErrUnacceptedExtension true extension 1.2.3 is not supported
}

// What api.NewAPI reads from flags in sigstore/timestamp-authority is a Config
// here.
func ExampleConfig_newAPI() {
	key, chain, err := identity()
	if err != nil {
		log.Fatal(err)
	}
	policy, err := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if err != nil {
		log.Fatal(err)
	}
	also, err := x509.ParseOID("1.3.6.1.4.1.99999.1")
	if err != nil {
		log.Fatal(err)
	}
	tsa, err := authority.New(authority.Config{
		Signer:           key,                                  // --timestamp-signer and what belongs to it
		Digest:           crypto.SHA256,                        // --timestamp-signer-hash
		Chain:            chain,                                // --certificate-chain-path
		Include:          authority.IncludeRoot,                // --include-chain-in-response; IncludeLeaf is the default there
		Policy:           policy,                               // --default-policy-oid
		AcceptedPolicies: []x509.OID{also},                     // --accepted-policy-oids
		Clock:            clock.System(500 * time.Millisecond), // no counterpart: the clock has to be vouched for
		TSAName:          true,                                 // always there
		Precision:        time.Millisecond,                     // whole seconds there
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tsa.Policy(), tsa.Accuracy(), len(tsa.Chain()))
	// Output: 1.3.6.1.4.1.57264.2 1s 3
}
