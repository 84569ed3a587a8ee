package access

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const testToken = "0123456789abcdefghijkl+/-._~==" // of all characters that are allowed

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestAuthorization(t *testing.T) {
	longest := strings.Repeat("t", MaxToken)
	short := strings.Repeat("s", MinToken-1)
	known := tokens{sha256.Sum256([]byte(testToken)): 1, sha256.Sum256([]byte(longest)): 2, sha256.Sum256([]byte(short)): 3,
		sha256.Sum256([]byte(longest + "t")): 4, sha256.Sum256(nil): 5}
	for _, tt := range []struct {
		name   string
		values []string
		want   credential
		client int
	}{
		{"none", nil, credentialNone, 0},
		{"bearer", []string{"Bearer " + testToken}, credentialKnown, 1},
		{"in whatever case", []string{"bEARER " + testToken}, credentialKnown, 1},
		{"several spaces", []string{"Bearer   " + testToken + " "}, credentialKnown, 1},
		{"basic", []string{basic("ci", testToken)}, credentialKnown, 1},
		{"basic without user", []string{basic("", testToken)}, credentialKnown, 1},
		{"basic in whatever case", []string{"basic " + strings.TrimPrefix(basic("ci", testToken), "Basic ")}, credentialKnown, 1},
		{"longest", []string{"Bearer " + longest}, credentialKnown, 2},
		{"longest with the longest user", []string{basic(strings.Repeat("u", maxUser), longest)}, credentialKnown, 2},
		{"shorter than allowed, though configured", []string{"Bearer " + short}, credentialWrong, 0},
		{"longer than allowed, though configured", []string{"Bearer " + longest + "t"}, credentialWrong, 0},
		{"user too long", []string{basic(strings.Repeat("u", maxUser+4), longest)}, credentialWrong, 0},
		{"unknown", []string{"Bearer x" + testToken}, credentialWrong, 0},
		{"in other case", []string{"Bearer " + strings.ToUpper(testToken)}, credentialWrong, 0},
		{"as the user", []string{basic(testToken, "")}, credentialWrong, 0},
		{"with the user before it", []string{basic("a:b", testToken)}, credentialWrong, 0},
		{"no colon", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(testToken))}, credentialWrong, 0},
		{"not base64", []string{"Basic " + testToken}, credentialWrong, 0},
		{"base64 without padding", []string{strings.TrimRight(basic("cii", testToken), "=")}, credentialWrong, 0},
		{"empty", []string{""}, credentialWrong, 0},
		{"scheme alone", []string{"Bearer"}, credentialWrong, 0},
		{"empty token", []string{"Bearer "}, credentialWrong, 0},
		{"empty password", []string{basic("ci", "")}, credentialWrong, 0},
		{"token alone", []string{testToken}, credentialWrong, 0},
		{"another scheme", []string{"Negotiate " + testToken}, credentialWrong, 0},
		{"two lines", []string{"Bearer " + testToken, "Bearer " + testToken}, credentialWrong, 0},
		{"two schemes in a line", []string{"Bearer " + testToken + ", " + basic("ci", testToken)}, credentialWrong, 0},
		{"1 MB", []string{"Bearer " + strings.Repeat("t", 1<<20)}, credentialWrong, 0},
		{"1 MB of base64", []string{basic("ci", strings.Repeat("t", 1<<20))}, credentialWrong, 0},
		{"1 MB of spaces", []string{"Bearer " + strings.Repeat(" ", 1<<20)}, credentialWrong, 0},
	} {
		h := http.Header{}
		if tt.values != nil {
			h["Authorization"] = tt.values
		}
		client, got := known.find(h)
		if got != tt.want || client != tt.client {
			t.Errorf("%s: got client %d, %d; want %d, %d", tt.name, client, got, tt.client, tt.want)
		}
		if n := testing.AllocsPerRun(10, func() { known.find(h) }); n > 1 {
			t.Errorf("%s: %g allocations, want at most 1", tt.name, n)
		}
	}
}

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, digest := NewToken()
		got, err := TokenDigest(token)
		if err != nil || got != digest || seen[token] {
			t.Fatalf("NewToken() = %s, %s; TokenDigest: %s, %v; seen %t", token, digest, got, err, seen[token])
		}
		seen[token] = true
		parsed, err := ParseDigest(digest.String())
		if err != nil || parsed != digest {
			t.Fatalf("ParseDigest(%s) = %s, %v", digest, parsed, err)
		}
		for _, value := range []string{"Bearer " + token, basic("x", token)} {
			if i, c := (tokens{digest: 7}).find(http.Header{"Authorization": {value}}); i != 7 || c != credentialKnown {
				t.Fatalf("%q finds %d, %d", value, i, c)
			}
		}
	}
}

func TestTokenDigest(t *testing.T) {
	// printf %s fencepost_0123456789abcdef | sha256sum
	got, err := TokenDigest("fencepost_0123456789abcdef")
	if want := "13d1497c6df2aa023d796300ae67473b5ce4bf7430f093b9bd5aaab074fbacb7"; err != nil || got.String() != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for name, token := range map[string]string{
		"empty":         "",
		"too short":     strings.Repeat("t", MinToken-1),
		"too long":      strings.Repeat("t", MaxToken+1),
		"space":         testToken + " ",
		"end of line":   testToken + "\n",
		"colon":         testToken + ":",
		"not ASCII":     testToken + "é",
		"control":       testToken + "\x00",
		"quotation":     testToken + `"`,
		"comma":         testToken + ",",
		"percent":       testToken + "%41",
		"opening space": " " + testToken,
	} {
		d, err := TokenDigest(token)
		if err == nil {
			t.Errorf("%s: TokenDigest = %s, want an error", name, d)
		} else if len(token) > 8 && strings.Contains(fmt.Sprint(err), token[:8]) {
			t.Errorf("%s: the error tells the token: %v", name, err)
		}
	}
}

func TestParseDigest(t *testing.T) {
	valid := strings.Repeat("0aF", 21) + "9"
	for text, ok := range map[string]bool{
		valid: true, "": false, valid[1:]: false, valid + "0": false, valid[1:] + "g": false, "sha256:" + valid[7:]: false,
	} {
		var d Digest
		err := d.UnmarshalText([]byte(text))
		if (err == nil) != ok || (!ok && d != Digest{}) || ok && d.String() != strings.ToLower(text) {
			t.Errorf("ParseDigest(%q) = %s, %v", text, d, err)
		}
	}
}

// FuzzAuthorization holds that nothing but a known token is known, however it
// is wrapped.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer " + testToken, basic("ci", testToken), "Basic ====", "Basic \r\n", "Bearer  ", basic(strings.Repeat("u", 400), testToken)} {
		f.Add(seed)
	}
	known := tokens{sha256.Sum256([]byte(testToken)): 1}
	f.Fuzz(func(t *testing.T, value string) {
		i, got := known.find(http.Header{"Authorization": {value}})
		if got == credentialNone || (got == credentialKnown) != (i == 1) {
			t.Fatalf("%q: client %d, %d", value, i, got)
		}
		if got != credentialKnown {
			return
		}
		scheme, rest, _ := strings.Cut(value, " ")
		rest = strings.Trim(rest, " ")
		switch strings.ToLower(scheme) {
		case "bearer":
			if rest != testToken {
				t.Fatalf("%q is known", value)
			}
		case "basic":
			plain, err := base64.StdEncoding.DecodeString(rest)
			if _, password, ok := strings.Cut(string(plain), ":"); err != nil || !ok || password != testToken {
				t.Fatalf("%q is known", value)
			}
		default:
			t.Fatalf("%q is known", value)
		}
	})
}
