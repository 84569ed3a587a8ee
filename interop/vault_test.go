package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
)

// A vault is a running HashiCorp Vault with a transit engine.
type vault struct {
	address string
	root    string // token
	seal    string // it is sealed while this file is there
	stop    func()
}

// startVault starts the Vault of the module vault.
func startVault(t *testing.T) *vault {
	t.Helper()
	w := scratch(t)
	v := &vault{address: "http://127.0.0.1:" + freePort(t), seal: w.path("seal")}
	log, stop := w.background(t, v.address+"/v1/sys/health", os.Getenv(envVault), "-listen", v.address[len("http://"):], "-seal", v.seal)
	v.stop = stop
	var told struct{ Token string }
	if err := json.NewDecoder(bytes.NewReader([]byte(log.String()))).Decode(&told); err != nil {
		t.Fatalf("vault printed %q: %v", log, err)
	}
	v.root = told.Token
	v.call(t, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	return v
}

// call makes a call with the root token that has to succeed, and returns the answer.
func (v *vault) call(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequest(method, v.address+"/v1/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", v.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, data)
	}
	var answer map[string]any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer
}

// key makes a key of the transit engine.
func (v *vault) key(t *testing.T, name, keyType string) {
	t.Helper()
	v.call(t, "POST", "transit/keys/"+name, fmt.Sprintf(`{"type":%q}`, keyType))
}

// transitTypes are the names of our key types in Vault.
var transitTypes = map[string]string{
	"p256": "ecdsa-p256", "p384": "ecdsa-p384", "p521": "ecdsa-p521",
	"rsa2048": "rsa-2048", "rsa3072": "rsa-3072", "rsa4096": "rsa-4096",
}

// token makes a token that may sign with one key, for so long, and no more: what the operating guide tells
// operators to give.
func (v *vault) token(t *testing.T, key, ttl string) string {
	t.Helper()
	policy := fmt.Sprintf("path \"transit/keys/%s\" { capabilities = [\"read\"] }\npath \"transit/sign/%s/*\" { capabilities = [\"update\"] }\n", key, key)
	body, err := json.Marshal(map[string]string{"policy": policy})
	if err != nil {
		t.Fatal(err)
	}
	v.call(t, "PUT", "sys/policies/acl/"+key, string(body))
	answer := v.call(t, "POST", "auth/token/create", fmt.Sprintf(`{"policies":[%q],"ttl":%q,"no_parent":true}`, key, ttl))
	auth, _ := answer["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	if token == "" {
		t.Fatalf("no token in %v", answer)
	}
	return token
}

// use lets the tool's commands reach the Vault.
func (w *tool) use(v *vault, token string) *tool {
	w.env = append(w.env, "VAULT_ADDR="+v.address, "VAULT_TOKEN="+token)
	return w
}
