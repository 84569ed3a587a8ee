package fencepost_test

import (
	"context"
	"crypto"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// Stamp a file, and get the time that one may rely on. The lines without
// error handling are those of the README.
func Example() {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{}) // in earnest, somebody's authority
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(tsa)
	defer server.Close()
	roots, err := pki.ParseCertificates(tsa.RootPEM())
	if err != nil {
		log.Fatal(err)
	}
	ctx, url, file := context.Background(), server.URL, strings.NewReader("what is to be stamped")

	imprint, err := tsp.ReadImprint(crypto.SHA256, file)
	if err != nil {
		log.Fatal(err)
	}
	client, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
	response, err := client.Stamp(ctx, tsp.NewRequest(imprint))
	if err != nil {
		log.Fatal(err)
	}
	timestamp, err := verify.Policy{Roots: roots}.Token(response.Token, imprint)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(time.Since(timestamp.Time) < time.Minute, timestamp.Accuracy)
	// Output: true 1s
}
