package verify_test

import (
	"crypto"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// Verify the timestamp of a file with the root of its authority.
func Example() {
	rootPEM, err := os.ReadFile("testdata/openssl/root.pem")
	if err != nil {
		log.Fatal(err)
	}
	response, err := os.ReadFile("testdata/openssl/p256-sha256.tsr")
	if err != nil {
		log.Fatal(err)
	}
	roots, err := pki.ParseCertificates(rootPEM)
	if err != nil {
		log.Fatal(err)
	}

	data, err := os.Open("testdata/openssl/data")
	if err != nil {
		log.Fatal(err)
	}
	defer data.Close()
	imprint, err := tsp.ReadImprint(crypto.SHA256, data)
	if err != nil {
		log.Fatal(err)
	}
	policy := verify.Policy{Roots: roots}
	stamp, err := policy.Bytes(response, imprint)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stamp.Time.Format(time.DateOnly), "by", stamp.Chain[0].Subject.CommonName)
	// Output: 2026-11-21 by OpenSSL TSA P-256
}

// A refusal is a *verify.Error, whose Reason says which check failed.
func ExampleError() {
	rootPEM, err := os.ReadFile("testdata/openssl/root.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots, err := pki.ParseCertificates(rootPEM)
	if err != nil {
		log.Fatal(err)
	}
	response, err := os.ReadFile("testdata/openssl/p256-sha256.tsr")
	if err != nil {
		log.Fatal(err)
	}
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("other data"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = verify.Policy{Roots: roots}.Bytes(response, imprint)
	var refusal *verify.Error
	if errors.As(err, &refusal) && refusal.Reason == verify.ReasonImprint {
		fmt.Println("this is not the file that was stamped")
	}
	// Output: this is not the file that was stamped
}

// Evidence on revocation is fetched by whoever has a network: Missing tells for
// which certificates, which say themselves whom to ask.
func ExampleEvidence_Missing() {
	rootPEM, err := os.ReadFile("testdata/openssl/root.pem")
	if err != nil {
		log.Fatal(err)
	}
	response, err := os.ReadFile("testdata/openssl/p256-sha256.tsr")
	if err != nil {
		log.Fatal(err)
	}
	roots, err := pki.ParseCertificates(rootPEM)
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.Open("testdata/openssl/data")
	if err != nil {
		log.Fatal(err)
	}
	defer data.Close()
	imprint, err := tsp.ReadImprint(crypto.SHA256, data)
	if err != nil {
		log.Fatal(err)
	}
	policy := verify.Policy{Roots: roots}
	stamp, err := policy.Bytes(response, imprint)
	if err != nil {
		log.Fatal(err)
	}
	var evidence verify.Evidence // of NewCRLs and NewOCSPResponses
	for _, q := range evidence.Missing(stamp, time.Now()) {
		fmt.Println("unknown:", q.Certificate.Subject.CommonName)
		request, err := verify.OCSPRequest(q, nil)
		if err != nil {
			log.Fatal(err)
		}
		_ = request // for one of q.Certificate.OCSPServer, if there is any
	}
	policy.Revocation = evidence
	if _, err := policy.Bytes(response, imprint); err != nil {
		fmt.Println("refused as long as it is")
	}
	// Output:
	// unknown: OpenSSL TSA P-256
	// unknown: OpenSSL Issuing CA
	// refused as long as it is
}
