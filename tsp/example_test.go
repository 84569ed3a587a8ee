package tsp_test

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// Make a request for a file, to be sent as application/timestamp-query.
func ExampleNewRequest() {
	file := strings.NewReader("what is to be stamped")
	imprint, err := tsp.ReadImprint(crypto.SHA256, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	req := tsp.NewRequest(imprint) // with a fresh nonce, asking for the certificate
	der, err := req.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(req.Imprint.AlgorithmName(), len(req.Nonce), req.CertReq, len(der))
	// Output: SHA-256 16 true 77
}

// Read a token from a file, whatever its form. Nothing in it is trusted before
// package verify has looked at it.
func ExampleParseAny() {
	file, err := os.ReadFile("testdata/openssl/rich-ec.tsr")
	if err != nil {
		fmt.Println(err)
		return
	}
	message, err := tsp.ParseAny(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := message.TimeStampToken()
	if err != nil {
		fmt.Println(err)
		return
	}
	info := token.UnverifiedInfo
	fmt.Println("a", message.Form, "response with a stamp on a", info.Imprint.AlgorithmName(), "digest")
	fmt.Println("policy", info.Policy, "accuracy", info.Accuracy, "certificates", len(token.Certificates))
	// Output:
	// a DER response with a stamp on a SHA-512 digest
	// policy 1.2.3.4.5.6 accuracy 1.5001s certificates 2
}

// A refusal is an error that can be asked what it is.
func ExampleParseResponse() {
	file, err := os.ReadFile("testdata/openssl/refused-policy.tsr")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := tsp.ParseResponse(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	if r := resp.Rejection; r != nil {
		fmt.Println(errors.Is(r, tsp.UnacceptedPolicy), r.Text)
	}
	// Output: true Requested policy is not supported.
}

// A server answers every request, also one that it cannot read.
func ExampleRejection() {
	_, err := tsp.ParseRequest([]byte("not a request"))
	fmt.Printf("%x\n", tsp.AsRejection(err).Marshal())
	// Output: 302e302c02010230230c2172657175657374206973206e6f742061204445522054696d655374616d7052657103020204
}
