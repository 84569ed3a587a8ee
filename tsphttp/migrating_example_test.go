package tsphttp_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// What client.GetTimestampClient(url, WithUserAgent(…), WithContentType(…)) of
// sigstore/timestamp-authority returns, and GetTimestampResponse does. The
// media type is not an option: the request is always sent in DER.
func ExampleNewClient_getTimestampClient() {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(tsa)
	defer server.Close()

	client, err := tsphttp.NewClient(tsphttp.ClientConfig{
		URLs:      []string{server.URL}, // without a path, /api/v1/timestamp is asked
		UserAgent: "my-program/1.0",     // WithUserAgent
		Timeout:   30 * time.Second,     // SetTimeout of the parameters
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("the artifact"))
	if err != nil {
		log.Fatal(err)
	}
	response, err := client.Stamp(context.Background(), tsp.NewRequest(imprint))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Status, len(response.Raw) > 0)
	for _, x := range tsa.Exchanges() {
		fmt.Println(x.Method, x.Path, x.Header.Get("Content-Type"), x.Header.Get("User-Agent"))
	}
	// Output:
	// granted true
	// POST /api/v1/timestamp application/timestamp-query my-program/1.0
}

// What GetTimestampCertChain of the same client does: a GET, and a strict
// reader for what comes back.
func ExampleClient_getTimestampCertChain() {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(tsa)
	defer server.Close()

	resp, err := http.Get(server.URL + tsphttp.DefaultPath + "/certchain")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, pki.MaxFileSize))
	if err != nil {
		log.Fatal(err)
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(chain), chain[0].Subject.CommonName)
	// Output: 3 Hostile Test TSA
}

// The errors of GetTimestampResponse: a refusal in JSON with an HTTP status,
// as that server sends it, and one in the protocol's own terms.
func ExampleFailures() {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(tsa)
	defer server.Close()
	imprint, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("the artifact"))
	if err != nil {
		log.Fatal(err)
	}
	for _, fault := range []tsptest.Fault{tsptest.BadRequestJSON, tsptest.RefuseUnacceptedPolicy, tsptest.WrongNonce} {
		tsa.Set(fault)
		client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{server.URL}})
		if err != nil {
			log.Fatal(err)
		}
		_, err = client.Stamp(context.Background(), tsp.NewRequest(imprint))
		client.CloseIdleConnections()
		var status *tsphttp.StatusError
		fmt.Println(errors.As(err, &status), errors.Is(err, tsp.UnacceptedPolicy))
	}
	// Output:
	// true false
	// false true
	// false false
}

// What server.NewRestAPIServer and the api package of
// sigstore/timestamp-authority do: put a Responder, an authority.Authority in
// earnest, behind HTTP.
func ExampleNewHandler_newRestAPIServer() {
	forge, err := tsptest.GenerateForge()
	if err != nil {
		log.Fatal(err)
	}
	handler, err := tsphttp.NewHandler(tsphttp.HandlerConfig{
		Responder:     forge,
		MaxRequest:    1 << 20,             // --max-request-body-size
		StatusCreated: true,                // --use-http-201
		Refusals:      tsphttp.RefusalJSON, // always there
		Observe: func(r *http.Request, x tsphttp.Exchange) {
			fmt.Println("for the log:", r.Method, x.Status, x.Outcome.Granted())
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/timestamp", handler)
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, body := range []string{
		`{"artifactHash":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=","hashAlgorithm":"sha256"}`,
		`{"artifactHash":"qUqP5cyxm6YcTAhz05Hph5gvu9M=","hashAlgorithm":"sha1"}`,
	} {
		resp, err := http.Post(server.URL+"/api/v1/timestamp", "application/json", strings.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"))
		if resp.StatusCode >= 400 {
			fmt.Print(string(answer))
		}
	}
	// Output:
	// for the log: POST 201 true
	// 201 application/timestamp-reply
	// for the log: POST 400 false
	// 400 application/json
	// {"code":400,"message":"Weak hash algorithm in timestamp request"}
}
