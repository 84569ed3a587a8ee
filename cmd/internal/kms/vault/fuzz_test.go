package vault_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
)

// What is accepted as a signature has one spelling, and an error brings none.
func FuzzParseSignature(f *testing.F) {
	f.Add([]byte(`{"data":{"key_version":1,"signature":"vault:v1:QUJD"}}`), 1)
	f.Add([]byte(`{"data":{"signature":"vault:v01:QUJD"}}`), 1)
	f.Add([]byte(`{"data":{"signature":"vault:v1:QUJD\n"}}`), 1)
	f.Add([]byte(`{"data":{"signature":"vault:v12:QQ=="}}`), 12)
	f.Add([]byte(`{"data":{"signature":"vault:v1:QR=="}}`), 1)
	f.Add([]byte(`{"data":null}`), 1)
	f.Add([]byte(`[]`), 0)
	f.Fuzz(func(t *testing.T, body []byte, version int) {
		signature, err := vault.ParseSignature(body, version)
		if err != nil {
			if signature != nil {
				t.Fatal("a signature came with the error")
			}
			return
		}
		var answer struct {
			Data struct {
				Signature string `json:"signature"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		again := "vault:v" + strconv.Itoa(version) + ":" + base64.StdEncoding.EncodeToString(signature)
		if again != answer.Data.Signature {
			t.Errorf("%q is read as %q", answer.Data.Signature, again)
		}
	})
}

// A description of a key never brings down whoever reads it, and what is
// chosen from it is a version that is in it.
func FuzzVersion(f *testing.F) {
	f.Add([]byte(`{"type":"ed25519","supports_signing":true,"latest_version":1,"keys":{"1":{"name":"ed25519","public_key":"v2rNSdMgW+SgBK/vvAGiFoJdpTlVbltzkvJrJ/7Zcr8="}}}`))
	f.Add([]byte(`{"type":"ecdsa-p256","supports_signing":true,"latest_version":2,"min_encryption_version":1,"keys":{"2":{"name":"P-256","public_key":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEr3QdTnHNTZtDXrsQsaUTHLyaVhoL\nUhC+k3d7G2OWKFao0qvvkizLwUCu1nvR+0dq3vG905EXI4x0+8tBqdgqMA==\n-----END PUBLIC KEY-----\n"}}}`))
	f.Add([]byte(`{"type":"aes256-gcm96","supports_signing":false,"latest_version":1,"keys":{"1":1795244236}}`))
	f.Add([]byte(`{"keys":{"-1":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		public, version, err := vault.ChooseVersion(data)
		if (public == nil) == (err == nil) {
			t.Fatalf("public key %v, version %d, error %v", public, version, err)
		}
		if err != nil {
			return
		}
		again, found, err := vault.FindVersion(data, public)
		if err != nil {
			t.Fatalf("the key of version %d is not found again: %v", version, err)
		}
		if !public.(interface{ Equal(crypto.PublicKey) bool }).Equal(again) || found < version {
			t.Errorf("version %d has the key of version %d", found, version)
		}
	})
}

// Nothing that a terminal would obey is left of a server's words.
func FuzzOneLine(f *testing.F) {
	f.Add("1 error occurred:\n\t* permission denied\n\n")
	f.Add("\x1b[31m\u202e\x00")
	f.Fuzz(func(t *testing.T, s string) {
		out := vault.OneLine(s)
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q becomes %q", s, out)
		}
		if len(out) > 10*303 {
			t.Errorf("%d bytes", len(out))
		}
	})
}
