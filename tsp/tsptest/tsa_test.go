package tsptest_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// post sends the canned request. It reads two megabytes at most.
func post(t *testing.T, url string) (*http.Response, []byte, error) {
	t.Helper()
	client := &http.Client{
		Timeout:       2 * time.Second,
		Transport:     &http.Transport{MaxResponseHeaderBytes: 1 << 20, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Post(url, "application/timestamp-query", bytes.NewReader(tsptest.RequestDER()))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 2<<20))
	return resp, body, err
}

func TestFaults(t *testing.T) {
	now := tsptest.Time()
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{
		Now:        func() time.Time { return now },
		Delay:      10 * time.Millisecond,
		RetryAfter: 3 * time.Second,
	})
	// What the reply is, as far as it can be seen without verifying. Faults
	// that are not listed are sound replies at this level.
	info := func(f func(*tsp.Info) bool) func(*tsp.Response) bool {
		return func(r *tsp.Response) bool { return r.Token != nil && f(r.Token.UnverifiedInfo) }
	}
	granted := map[tsptest.Fault]func(*tsp.Response) bool{
		tsptest.WrongNonce:   info(func(i *tsp.Info) bool { return i.Nonce != nil && !i.Nonce.Equal(tsptest.Nonce()) }),
		tsptest.NoNonce:      info(func(i *tsp.Info) bool { return i.Nonce == nil }),
		tsptest.WrongImprint: info(func(i *tsp.Info) bool { return !i.Imprint.Equal(tsptest.Imprint()) }),
		tsptest.WrongHash: info(func(i *tsp.Info) bool {
			return i.Imprint.AlgorithmName() == "SHA3-256" && bytes.Equal(i.Imprint.Digest, tsptest.Imprint().Digest)
		}),
		tsptest.WrongPolicy:        info(func(i *tsp.Info) bool { return i.Policy.String() != tsptest.PolicyOID }),
		tsptest.StaleTime:          info(func(i *tsp.Info) bool { return i.GenTime.Equal(now.AddDate(-1, 0, 0)) }),
		tsptest.FutureTime:         info(func(i *tsp.Info) bool { return i.GenTime.Equal(now.AddDate(1, 0, 0)) }),
		tsptest.NoCertificate:      func(r *tsp.Response) bool { return len(r.Token.Certificates) == 0 },
		tsptest.InjectedLeaf:       func(r *tsp.Response) bool { return len(r.Token.Certificates) == 5 },
		tsptest.SwappedCertificate: func(r *tsp.Response) bool { return bytes.Contains(r.Token.Signer.Issuer, []byte("other")) },
		tsptest.Waiting:            func(r *tsp.Response) bool { return r.Status == tsp.StatusWaiting },
		tsptest.Replay:             info(func(i *tsp.Info) bool { return !i.Nonce.Equal(tsptest.Nonce()) }),
		tsptest.RefuseWithoutReason: func(r *tsp.Response) bool {
			return r.Rejection != nil && r.Rejection.Info == tsp.NoFailureInfo
		},
	}
	for i, want := range tsp.FailureInfos() {
		granted[tsptest.RefuseBadAlg+tsptest.Fault(i)] = func(r *tsp.Response) bool { return errors.Is(r.Rejection, want) }
	}
	malformed := []tsptest.Fault{tsptest.BareToken, tsptest.GrantedEmpty, tsptest.RefusedWithToken, tsptest.Truncated,
		tsptest.Empty, tsptest.TrailingBytes, tsptest.Garbage, tsptest.HTMLPage, tsptest.Base64, tsptest.Endless, tsptest.Bomb}
	broken := []tsptest.Fault{tsptest.CutOff, tsptest.HungUp, tsptest.HugeHeader, tsptest.Drip}
	status := map[tsptest.Fault]int{
		tsptest.Created: 201, tsptest.NoContent: 204, tsptest.BadRequestJSON: 400, tsptest.Unauthorized: 401,
		tsptest.Forbidden: 403, tsptest.NotFound: 404, tsptest.TooLarge: 413, tsptest.TooManyRequests: 429,
		tsptest.InternalError: 500, tsptest.BadGateway: 502, tsptest.Unavailable: 503, tsptest.UnavailableDate: 503,
		tsptest.UnavailableForever: 503, tsptest.Redirect: 307, tsptest.RedirectSeeOther: 303, tsptest.RedirectLoop: 307,
	}
	header := map[tsptest.Fault][2]string{
		tsptest.TooManyRequests:    {"Retry-After", "3"},
		tsptest.Unavailable:        {"Retry-After", "3"},
		tsptest.UnavailableDate:    {"Retry-After", "Fri, 02 Jan 2026 03:04:09 GMT"},
		tsptest.UnavailableForever: {"Retry-After", "315360000"},
		tsptest.Redirect:           {"Location", "/"},
		tsptest.RedirectSeeOther:   {"Location", "/"},
		tsptest.RedirectLoop:       {"Location", "/redirect-loop"},
		tsptest.WrongMediaType:     {"Content-Type", "text/html; charset=utf-8"},
		tsptest.NoMediaType:        {"Content-Type", ""},
	}
	has := func(list []tsptest.Fault, f tsptest.Fault) bool {
		for _, x := range list {
			if x == f {
				return true
			}
		}
		return false
	}
	// Replay first, when there is nothing yet to be replayed.
	for _, fault := range append([]tsptest.Fault{tsptest.Replay, tsptest.NoFault}, tsptest.Faults()...) {
		t.Run(fault.String(), func(t *testing.T) {
			if again, err := tsptest.ParseFault(fault.String()); err != nil || again != fault {
				t.Errorf("ParseFault(%q) = %v, %v; want the same fault", fault, again, err)
			}
			resp, body, err := post(t, srv.URL+"/"+fault.String())
			if has(broken, fault) {
				if err == nil {
					t.Errorf("got %d bytes and no error", len(body))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := status[fault]
			if want == 0 {
				want = 200
			}
			if resp.StatusCode != want {
				t.Errorf("status is %d, want %d", resp.StatusCode, want)
			}
			if h := header[fault]; h[0] != "" && resp.Header.Get(h[0]) != h[1] {
				t.Errorf("%s is %q, want %q", h[0], resp.Header.Get(h[0]), h[1])
			}
			if want > 201 {
				return
			}
			r, err := tsp.ParseResponse(body)
			if (err != nil) != has(malformed, fault) {
				t.Errorf("ParseResponse: %v", err)
			}
			if check := granted[fault]; check != nil && (r == nil || !check(r)) {
				t.Errorf("the reply does not have the fault: %+v", r)
			}
		})
	}
}

func TestScript(t *testing.T) {
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	tsa.Set(tsptest.Forbidden)
	tsa.Script(tsptest.Unavailable, tsptest.NoFault)
	var got []int
	for range 3 {
		resp, _, err := post(t, srv.URL+"/api/v1/timestamp")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.StatusCode)
	}
	if got[0] != 503 || got[1] != 200 || got[2] != 403 {
		t.Errorf("statuses are %v, want 503, 200, 403", got)
	}
	ex := tsa.Exchanges()
	if len(ex) != 3 || ex[0].Fault != tsptest.Unavailable || ex[2].Fault != tsptest.Forbidden ||
		ex[1].Path != "/api/v1/timestamp" || !bytes.Equal(ex[1].Body, tsptest.RequestDER()) {
		t.Errorf("Exchanges() = %+v", ex)
	}
}

func TestVariantOverHTTP(t *testing.T) {
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	_, body, err := post(t, srv.URL+"/accuracy-absent")
	if err != nil {
		t.Fatal(err)
	}
	r, err := tsp.ParseResponse(body)
	if err != nil || r.Token.UnverifiedInfo.HasAccuracy {
		t.Errorf("the reply has an accuracy, or %v", err)
	}
	if ex := tsa.Exchanges(); len(ex) != 1 || ex[0].Variant != "accuracy-absent" {
		t.Errorf("Exchanges() = %+v, want the variant named", ex)
	}
}

func TestGet(t *testing.T) {
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		t.Helper()
		w := httptest.NewRecorder()
		tsa.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Body.String()
	}
	if list := get("/"); !strings.Contains(list, "/wrong-nonce ") || !strings.Contains(list, "/ess-elsewhere ") {
		t.Errorf("GET / = %q, want the faults and variants", list)
	}
	chain := []byte(get("/api/v1/timestamp/certchain"))
	var last []byte
	n := 0
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		last = block.Bytes
		n++
	}
	root, _ := pem.Decode(tsa.RootPEM())
	if n != 3 || !bytes.Equal(last, root.Bytes) {
		t.Errorf("GET certchain has %d certificates, want 3 with the root of RootPEM last", n)
	}
}

// TestReplayIsSound has the answer that is replayed later spoiled when it was
// first sent.
func TestReplayIsSound(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	for _, fault := range []tsptest.Fault{tsptest.Garbage, tsptest.Replay} {
		_, body, err := post(t, srv.URL+"/"+fault.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tsp.ParseResponse(body); (err == nil) != (fault == tsptest.Replay) {
			t.Errorf("%s: ParseResponse: %v", fault, err)
		}
	}
}
