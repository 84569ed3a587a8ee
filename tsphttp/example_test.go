package tsphttp_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// Two authorities, of which the preferred one gives answers to something else.
func ExampleClient() {
	forge, err := tsptest.GenerateForge()
	if err != nil {
		log.Fatal(err)
	}
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{Forge: forge})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(tsa)
	defer server.Close()
	root, err := forge.Root()
	if err != nil {
		log.Fatal(err)
	}

	client, err := tsphttp.NewClient(tsphttp.ClientConfig{
		URLs:  []string{server.URL + "/wrong-imprint", server.URL},
		Trust: &verify.Policy{Roots: []*x509.Certificate{root}},
	})
	if err != nil {
		log.Fatal(err)
	}
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("hello\n"))
	if err != nil {
		log.Fatal(err)
	}
	reply, err := client.Ask(context.Background(), tsp.NewRequest(imprint))
	if err != nil {
		log.Fatal(err)
	}
	var v *verify.Error
	fmt.Println("refused answers:", len(reply.Failed), "wrong imprint:", errors.As(reply.Failed[0], &v) && v.Reason == verify.ReasonImprint)
	fmt.Println("answer from:", strings.TrimPrefix(reply.URL, server.URL))
	fmt.Println("verified:", !reply.Timestamp.Time.IsZero())
	// Output:
	// refused answers: 1 wrong imprint: true
	// answer from: /api/v1/timestamp
	// verified: true
}

// An authority that is asked in JSON, as by
//
//	curl -H 'Content-Type: application/json' -d @request.json http://localhost:3000/api/v1/timestamp
func ExampleHandler() {
	forge, err := tsptest.GenerateForge() // any Responder; in earnest, an authority.Authority
	if err != nil {
		log.Fatal(err)
	}
	handler, err := tsphttp.NewHandler(tsphttp.HandlerConfig{Responder: forge})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/timestamp", handler)
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, hash := range []string{"n4bQgYhMfWWaL-qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "n4bQ"} {
		resp, err := http.Post(server.URL+"/api/v1/timestamp", "application/json",
			strings.NewReader(`{"artifactHash":"`+hash+`","hashAlgorithm":"sha256","nonce":1123343434}`))
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"))
		if answer, err := tsp.ParseResponse(body); err == nil {
			fmt.Println(answer.Status, answer.Token.UnverifiedInfo.Nonce)
		} else {
			fmt.Print(string(body))
		}
	}
	// Output:
	// 200 application/timestamp-reply
	// granted 1123343434
	// 400 application/json
	// {"code":400,"message":"Message digest has incorrect length for specified algorithm"}
}
