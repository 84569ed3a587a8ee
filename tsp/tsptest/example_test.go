package tsptest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A hostile authority that any client can be pointed at, in any language.
func ExampleTSA() {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(tsa) // or http.ListenAndServe("127.0.0.1:8080", tsa)
	defer server.Close()

	for _, path := range []string{"/", "/wrong-nonce", "/refuse-time-not-available"} {
		body := exchange(server.URL + path)
		resp, err := tsp.ParseResponse(body)
		switch {
		case err != nil:
			fmt.Println(path, err)
		case resp.Rejection != nil:
			fmt.Println(path, resp.Rejection.Info.String())
		default:
			fmt.Println(path, resp.Token.UnverifiedInfo.Nonce.Equal(tsptest.Nonce()))
		}
	}
	// Output:
	// / true
	// /wrong-nonce false
	// /refuse-time-not-available timeNotAvailable
}

func exchange(url string) []byte {
	resp, err := http.Post(url, "application/timestamp-query", requestBody())
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return body
}

// A test of a verifier goes through the table of variants.
func ExampleVariants() {
	test := func(t *testing.T) {
		for _, v := range tsptest.Variants() {
			t.Run(v.Name, func(t *testing.T) {
				accepted := myVerifier(v.Response(t))
				if accepted != (v.Verdict == tsptest.Good) {
					t.Errorf("accepted: %v, want verdict %s", accepted, v.Verdict)
				}
			})
		}
	}
	_ = test
	fmt.Println(tsptest.Variants()[0].Name)
	// Output: plain
}

func myVerifier([]byte) bool { return false }

func requestBody() io.Reader { return bytes.NewReader(tsptest.RequestDER()) }
