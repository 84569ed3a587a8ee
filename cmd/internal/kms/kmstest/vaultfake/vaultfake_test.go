package vaultfake_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
)

// An answer of a server.
type answer struct {
	status int
	body   string
}

func call(t *testing.T, url, token string, r request) answer {
	t.Helper()
	a, err := send(t.Context(), url, token, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func send(ctx context.Context, url, token string, r request) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, url+"/v1/"+r.path, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body)}, err
}

type request struct{ method, path, body string }

var read = request{"GET", "transit/keys/tsa", ""}

func TestFaultsAreCounted(t *testing.T) {
	v := vaultfake.Start(t)
	if err := v.CreateKey("tsa", "ecdsa-p256"); err != nil {
		t.Fatal(err)
	}
	v.Inject(vaultfake.Fault{On: vaultfake.OnRead, Times: 2, Status: 500, Body: "{}"})
	v.Inject(vaultfake.Fault{On: vaultfake.OnSign, Status: 502})
	var got []int
	for range 3 {
		got = append(got, call(t, v.URL, v.Root, read).status)
	}
	sign := request{"POST", "transit/sign/tsa/sha2-256", "{}"}
	got = append(got, call(t, v.URL, v.Root, sign).status, call(t, v.URL, v.Root, sign).status)
	v.Clear()
	got = append(got, call(t, v.URL, v.Root, sign).status)
	for i, want := range []int{500, 500, 200, 502, 502, 200} {
		if got[i] != want {
			t.Errorf("call %d: status %d; want %d", i+1, got[i], want)
		}
	}
	if n := v.Calls(vaultfake.OnSign); n != 3 {
		t.Errorf("%d calls of sign; want 3", n)
	}
	if n := v.Calls(""); n != 6 {
		t.Errorf("%d calls; want 6", n)
	}
}

func TestHangEnds(t *testing.T) {
	v := vaultfake.Start(t)
	v.Inject(vaultfake.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := send(ctx, v.URL, v.Root, read); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v; want one that wraps %v", err, context.DeadlineExceeded)
	}
	done := make(chan answer, 1)
	go func() {
		a, _ := send(t.Context(), v.URL, v.Root, read)
		done <- a
	}()
	for v.Calls("") < 2 {
		time.Sleep(time.Millisecond)
	}
	v.Clear()
	if a := <-done; a.status != 200 || a.body != "" {
		t.Errorf("a cleared call: got %+v; want an empty answer", a)
	}
}

func TestTokens(t *testing.T) {
	v := vaultfake.Start(t)
	lookup := request{"GET", "auth/token/lookup-self", ""}
	renew := request{"POST", "auth/token/renew-self", "{}"}
	short := v.AddToken(vaultfake.Token{TTL: 20 * time.Millisecond})
	time.Sleep(30 * time.Millisecond)
	revoked := v.AddToken(vaultfake.Token{})
	v.Revoke(revoked)
	bounded := v.AddToken(vaultfake.Token{TTL: time.Hour, MaxTTL: time.Minute, Renewable: true})
	for _, tt := range []struct {
		name, token string
		request     request
		status      int
		text        string
	}{
		{"root", v.Root, lookup, 200, `"ttl":0`},
		{"root does not renew itself", v.Root, renew, 400, "invalid lease ID"},
		{"none", "", lookup, 403, "permission denied"},
		{"expired", short, lookup, 403, "permission denied"},
		{"revoked", revoked, lookup, 403, "permission denied"},
		{"fixed", v.AddToken(vaultfake.Token{TTL: time.Hour}), renew, 400, "lease is not renewable"},
		{"renewable", v.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true}), renew, 200, `"lease_duration":3600`},
		{"bounded", bounded, renew, 200, `"lease_duration":60`},
		{"without the path", v.AddToken(vaultfake.Token{Paths: []string{"auth/"}}), read, 403, "1 error occurred"},
		{"with the path", v.AddToken(vaultfake.Token{Paths: []string{"auth/"}}), lookup, 200, `"renewable":false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := call(t, v.URL, tt.token, tt.request)
			if a.status != tt.status || !strings.Contains(a.body, tt.text) || !json.Valid([]byte(a.body)) {
				t.Errorf("got %+v; want status %d and %q", a, tt.status, tt.text)
			}
		})
	}
}

// An RSA signature is PSS and an ECDSA signature DER unless somebody asks for
// something else, which is how clients come to grief.
func TestDefaultsOfVault(t *testing.T) {
	v := vaultfake.Start(t)
	for _, kind := range []string{"rsa-2048", "ecdsa-p256"} {
		if err := v.CreateKey(kind, kind); err != nil {
			t.Fatal(err)
		}
	}
	const input = `"input":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","prehashed":true`
	for _, tt := range []struct{ name, kind, more, again string }{
		// A PKCS #1 v1.5 signature is the same each time, a PSS signature never.
		{"PSS", "rsa-2048", "", "other"},
		{"PKCS #1 v1.5", "rsa-2048", `,"signature_algorithm":"pkcs1v15"`, "same"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request{"POST", "transit/sign/" + tt.kind + "/sha2-256", "{" + input + tt.more + "}"}
			first, second := call(t, v.URL, v.Root, r), call(t, v.URL, v.Root, r)
			if first.status != 200 || (first.body == second.body) != (tt.again == "same") {
				t.Errorf("got %+v and %+v", first, second)
			}
		})
	}
	a := call(t, v.URL, v.Root, request{"POST", "transit/sign/ecdsa-p256", "{" + input + "}"})
	if !strings.Contains(a.body, `"vault:v1:MEQ`) && !strings.Contains(a.body, `"vault:v1:MEU`) && !strings.Contains(a.body, `"vault:v1:MEY`) && !strings.Contains(a.body, `"vault:v1:MEM`) {
		t.Errorf("not DER: %+v", a)
	}
}
