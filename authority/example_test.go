package authority_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// identity makes a key with a chain, as "fencepost cert create" does.
func identity() (*signer.Key, []*x509.Certificate, error) {
	var keys [3]*signer.Key
	for i := range keys {
		key, err := signer.Generate(signer.P256)
		if err != nil {
			return nil, nil, err
		}
		keys[i] = key
	}
	ctx := context.Background()
	chain, err := pki.CreateChain(pki.ChainConfig{
		Role:            pki.RoleTSA,
		Subject:         pkix.Name{Organization: []string{"Example"}, CommonName: "Example TSA"},
		RootKey:         signer.Crypto(ctx, keys[0]),
		IntermediateKey: signer.Crypto(ctx, keys[1]),
		LeafKey:         keys[2].Public(),
	})
	return keys[2], chain, err
}

// A timestamp authority over HTTP, a client, and what the client may rely on.
func Example() {
	key, chain, err := identity()
	if err != nil {
		log.Fatal(err)
	}
	policy, err := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if err != nil {
		log.Fatal(err)
	}

	// The authority: five lines but for the errors.
	tsa, err := authority.New(authority.Config{Signer: key, Chain: chain, Clock: clock.System(500 * time.Millisecond), Policy: policy})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := tsphttp.NewHandler(tsphttp.HandlerConfig{Responder: tsa})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	// The client.
	client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{server.URL}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("the data"))
	if err != nil {
		log.Fatal(err)
	}
	response, err := client.Stamp(context.Background(), tsp.NewRequest(imprint))
	if err != nil {
		log.Fatal(err)
	}
	stamp, err := verify.Policy{Roots: chain[2:]}.Token(response.Token, imprint)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stamped under", stamp.Policy, "within", stamp.Accuracy)
	fmt.Println("just now:", time.Since(stamp.Time) < time.Minute)
	// Output:
	// stamped under 1.3.6.1.4.1.57264.2 within 1s
	// just now: true
}

// A refusal is an answer as well.
func ExampleAuthority_Respond() {
	key, chain, err := identity()
	if err != nil {
		log.Fatal(err)
	}
	policy, err := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if err != nil {
		log.Fatal(err)
	}
	tsa, err := authority.New(authority.Config{
		Signer: key,
		Chain:  chain,
		Clock:  clock.System(2 * time.Second), // worse than what is promised
		Policy: policy,
		Observe: func(out tsp.Outcome) {
			fmt.Println("granted:", out.Granted(), "by a clock that is", out.ClockState)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	imprint, err := tsp.NewImprint(crypto.SHA256, make([]byte, 32))
	if err != nil {
		log.Fatal(err)
	}
	request, err := tsp.NewRequest(imprint).Marshal()
	if err != nil {
		log.Fatal(err)
	}
	reply, out := tsa.Respond(context.Background(), request)
	fmt.Println("for the log:", out.Rejection.Err)
	response, err := tsp.ParseResponse(reply)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("for the client:", response.Rejection)
	// Output:
	// granted: false by a clock that is unmonitored
	// for the log: clock: error bound 2s is above the limit 1s
	// for the client: tsp: the clock is not as accurate as a timestamp promises (timeNotAvailable)
}
