package interop

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// softHSM is the PKCS #11 module of SoftHSM.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// softToken makes a SoftHSM token, lets the tool's commands reach it, and returns the URI of a key on it.
func (w *tool) softToken(t *testing.T, label string) func(key string) string {
	t.Helper()
	dir := w.path("tokens")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := w.write(t, "softhsm2.conf", []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n"))
	pin := w.write(t, "pin", []byte("1234\n"))
	w.env = append(w.env, "SOFTHSM2_CONF="+conf)
	w.accept(t, nil, "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678")
	return func(key string) string {
		return "pkcs11:token=" + label + ";object=" + key + "?module-path=" + softHSM + "&pin-source=file:" + pin
	}
}

// keyCreate makes a key with our command.
func (w *tool) keyCreate(t *testing.T, uri, keyType string) {
	t.Helper()
	w.accept(t, []string{strings.ToUpper(keyType[:1])}, ours("fencepost"), "key", "create", uri, "--type", keyType)
}

// chainFor makes a chain for a key that there is.
func (w *tool) chainFor(t *testing.T, uri, dir string) string {
	t.Helper()
	w.accept(t, nil, ours("fencepost"), "cert", "create", "--key", uri, "--out", dir)
	w.accept(t, []string{"with the key given"}, ours("fencepost"), "cert", "check", dir+"/chain.pem", "--key", uri, "--enforce-intermediate-eku")
	return w.path(dir + "/chain.pem")
}

// dropInWith starts our timestamp-server in the tool's environment, as startDropIn does.
func (w *tool) dropInWith(t *testing.T, flags ...string) *tsa {
	t.Helper()
	port := freePort(t)
	base := "http://127.0.0.1:" + port
	argv := []string{ours("timestamp-server"), "serve", "--host", "127.0.0.1", "--port", port, "--disable-ntp-monitoring", "--metrics-address", "off"}
	w.serve(t, base+"/ping", append(argv, flags...)...)
	return newTSA(t, base, chainAt(t, base))
}

// TestVaultSigner: the drop-in with a key in Vault's transit engine, and a token that may do no more than
// the operating guide says.
func TestVaultSigner(t *testing.T) {
	v := startVault(t)
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			name := "tsa-" + keyType
			v.key(t, name, transitTypes[keyType])
			w := scratch(t).use(v, v.token(t, name, "1h"))
			chain := w.chainFor(t, "hashivault://"+name, "tsa")
			judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "kms", "--kms-key-resource", "hashivault://"+name, "--certificate-chain-path", chain))
		})
	}
}

// TestVaultKeyCreate: our command makes the key in Vault.
func TestVaultKeyCreate(t *testing.T) {
	v := startVault(t)
	w := scratch(t).use(v, v.root)
	w.keyCreate(t, "hashivault://made", "p384")
	w.refuse(t, []string{"exists"}, ours("fencepost"), "key", "create", "hashivault://made", "--type", "p256")
	w.accept(t, []string{"P-384"}, ours("fencepost"), "key", "show", "hashivault://made")
	judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "kms", "--kms-key-resource", "hashivault://made", "--certificate-chain-path", w.chainFor(t, "hashivault://made", "tsa")))
}

// TestVaultRefused: what is wrong with a Vault is said at the start, with what to do.
func TestVaultRefused(t *testing.T) {
	v := startVault(t)
	v.key(t, "tsa", "ecdsa-p256")
	v.key(t, "other", "ecdsa-p256")
	v.key(t, "cipher", "aes256-gcm96")
	good := scratch(t).use(v, v.token(t, "tsa", "1h"))
	chain := good.chainFor(t, "hashivault://tsa", "tsa")
	start := func(w *tool, key string) []string {
		return []string{ours("timestamp-server"), "serve", "--port", "0", "--metrics-address", "off", "--timestamp-signer", "kms",
			"--kms-key-resource", key, "--certificate-chain-path", chain}
	}
	for _, test := range []struct {
		name, key, token string
		want             []string
	}{
		{"no such key", "hashivault://none", v.root, []string{"none", "hint: "}},
		{"key of another certificate", "hashivault://other", v.root, []string{"other", "belongs to another key"}},
		{"key that cannot sign", "hashivault://cipher", v.root, []string{"cipher", "hint: "}},
		{"not allowed", "hashivault://tsa", v.token(t, "other", "1h"), []string{"transit/keys/tsa", "hint: "}},
		{"no such token", "hashivault://tsa", "hvs.wrong", []string{"token", "hint: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := scratch(t).use(v, test.token)
			w.refuse(t, test.want, start(w, test.key)...)
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		w := scratch(t)
		w.env = append(w.env, "VAULT_ADDR=http://127.0.0.1:"+freePort(t), "VAULT_TOKEN=x")
		w.refuse(t, []string{"connection refused", "hint: "}, start(w, "hashivault://tsa")...)
	})
	t.Run("sealed", func(t *testing.T) {
		if err := os.WriteFile(v.seal, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		waitStatus(t, v.address+"/v1/sys/health", http.StatusServiceUnavailable)
		good.refuse(t, []string{"sealed", "hint: "}, start(good, "hashivault://tsa")...)
	})
}

// waitStatus waits until a GET is answered with a status.
func waitStatus(t *testing.T, url string, want int) {
	t.Helper()
	got := 0
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if got = resp.StatusCode; got == want {
			return
		}
	}
	t.Fatalf("GET %s: %d, want %d", url, got, want)
}

// keysConfig is a configuration with keys outside the process; %s are the listener, the administrative one,
// and what there is in the section tsa.
const keysConfig = `listen: [%s]
admin: %s
watch: 100ms
limits: {sign-timeout: 2s}
tsa:
  policy: 1.3.6.1.4.1.57264.2
  clock: {source: system, bound: 500ms}
%s`

// serveKeys starts "fencepost serve --config" in the tool's environment, and returns it with the address of
// its administrative listener.
func (w *tool) serveKeys(t *testing.T, section string) (*tsa, string) {
	t.Helper()
	host, admin := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	config := w.write(t, "fencepost.yaml", fmt.Appendf(nil, keysConfig, host, admin, section))
	w.serve(t, "http://"+admin+"/readyz", ours("fencepost"), "serve", "--config", config)
	return newTSA(t, "http://"+host, chainAt(t, "http://"+host)), "http://" + admin
}

// stamps asks for a timestamp with openssl and has openssl verify it.
func (w *tool) stamps(t *testing.T, a *tsa) {
	t.Helper()
	w.write(t, "data", []byte("the data"))
	w.ask(t, a, "openssl", "data", "-sha256", "-cert")
	w.accept(t, []string{"Verification: OK"}, opensslVerify(a, "openssl.tsr", "-queryfile", "openssl.tsq")...)
}

// refusesStamp asks for a timestamp that has to be refused, in the protocol's own terms.
func (w *tool) refusesStamp(t *testing.T, a *tsa, want string) {
	t.Helper()
	w.write(t, "data", []byte("the data"))
	w.refuse(t, []string{want}, createArgs(a, "data", "refused.tsr", "--force")...)
}

// TestVaultAway: a sealed Vault is a refusal that clients can read, a server that is not ready, and no
// harm once it is unsealed.
func TestVaultAway(t *testing.T) {
	v := startVault(t)
	v.key(t, "tsa", "ecdsa-p256")
	w := scratch(t).use(v, v.token(t, "tsa", "1h"))
	w.chainFor(t, "hashivault://tsa", "tsa")
	a, admin := w.serveKeys(t, "  key: hashivault://tsa\n  chain: tsa/chain.pem\n")
	w.stamps(t, a)
	if err := os.WriteFile(v.seal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, v.address+"/v1/sys/health", http.StatusServiceUnavailable)
	w.refusesStamp(t, a, "systemFailure")
	waitStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	if err := os.Remove(v.seal); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, admin+"/readyz", http.StatusOK)
	w.stamps(t, a)
}

// TestVaultToken: a token that ends is replaced in its file, and the server goes on.
func TestVaultToken(t *testing.T) {
	v := startVault(t)
	v.key(t, "tsa", "ecdsa-p256")
	w := scratch(t).use(v, v.token(t, "tsa", "1h"))
	w.chainFor(t, "hashivault://tsa", "tsa")
	w = &tool{dir: w.dir, env: append(w.env, "VAULT_TOKEN=", "VAULT_TOKEN_FILE="+w.path("token"))}
	token := v.token(t, "tsa", "1h")
	w.write(t, "token", []byte(token+"\n"))
	a, _ := w.serveKeys(t, "  key: hashivault://tsa\n  chain: tsa/chain.pem\n")
	w.stamps(t, a)
	v.call(t, "POST", "auth/token/revoke", fmt.Sprintf(`{"token":%q}`, token))
	w.write(t, "token", []byte(v.token(t, "tsa", "1h")+"\n"))
	w.stamps(t, a)
}

// TestPKCS11Signer: the drop-in with a key on a token.
func TestPKCS11Signer(t *testing.T) {
	for _, keyType := range []string{"p256", "p384", "p521", "rsa2048", "rsa3072"} {
		t.Run(keyType, func(t *testing.T) {
			w := scratch(t)
			uri := w.softToken(t, "tsa")("signing")
			w.keyCreate(t, uri, keyType)
			chain := w.chainFor(t, uri, "tsa")
			judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "kms", "--kms-key-resource", uri, "--certificate-chain-path", chain))
		})
	}
}

// TestPKCS11Foreign: the same with a key that pkcs11-tool made.
func TestPKCS11Foreign(t *testing.T) {
	w := scratch(t)
	uri := w.softToken(t, "tsa")("theirs")
	w.accept(t, nil, "pkcs11-tool", "--module", softHSM, "--token-label", "tsa", "--login", "--pin", "1234",
		"--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "01")
	judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "kms", "--kms-key-resource", uri, "--certificate-chain-path", w.chainFor(t, uri, "tsa")))
}

// TestPKCS11Refused: a wrong PIN is told, and tried once only.
func TestPKCS11Refused(t *testing.T) {
	w := scratch(t)
	uri := w.softToken(t, "tsa")
	w.keyCreate(t, uri("signing"), "p256")
	w.refuse(t, []string{"none", "hint: "}, ours("fencepost"), "key", "show", uri("none"))
	w.write(t, "pin", []byte("0000\n"))
	w.refuse(t, []string{"PIN", "hint: "}, ours("fencepost"), "key", "show", uri("signing"))
}

// TestTinkSigner: the drop-in with a Tink keyset that the Vault encrypted.
func TestTinkSigner(t *testing.T) {
	v := startVault(t)
	v.key(t, "kek", "aes256-gcm96")
	w := scratch(t).use(v, v.root)
	token := w.write(t, "token", []byte(v.root+"\n"))
	kek := "hcvault://" + strings.TrimPrefix(v.address, "http://") + "/transit/keys/kek"
	uri := "tink:" + w.path("keyset.json") + "?key=" + kek + "&token-file=" + token
	w.keyCreate(t, uri, "p256")
	chain := w.chainFor(t, uri, "tsa")
	judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "tink", "--tink-key-resource", kek, "--tink-keyset-path", "keyset.json",
		"--tink-hcvault-token", v.root, "--certificate-chain-path", chain))
	w.refuse(t, []string{"hint: "}, ours("timestamp-server"), "serve", "--metrics-address", "off", "--timestamp-signer", "tink", "--tink-key-resource", kek+"2",
		"--tink-keyset-path", "keyset.json", "--tink-hcvault-token", v.root, "--certificate-chain-path", chain)
}

// TestFetchTSACerts: a chain made by our fetch-tsa-certs, as its documentation says to run it, below a key in
// Vault; the peer's server takes it, and openssl the timestamps.
func TestFetchTSACerts(t *testing.T) {
	v := startVault(t)
	v.key(t, "parent", "ecdsa-p384")
	for _, keyType := range []string{"p256", "rsa3072"} {
		t.Run(keyType, func(t *testing.T) {
			name := "leaf-" + keyType
			v.key(t, name, transitTypes[keyType])
			w := scratch(t).use(v, v.root)
			w.accept(t, nil, ours("fetch-tsa-certs"), "--parent-kms-resource", "hashivault://parent", "--leaf-kms-resource", "hashivault://"+name,
				"--org-name", "Example", "--output", "chain.pem")
			port := freePort(t)
			base := "http://127.0.0.1:" + port
			w.serve(t, base+"/ping", theirs(t, peers.TimestampServer), "serve", "--host", "127.0.0.1", "--port", port, "--disable-ntp-monitoring",
				"--timestamp-signer", "kms", "--kms-key-resource", "hashivault://"+name, "--certificate-chain-path", "chain.pem")
			w.stamps(t, newTSA(t, base, chainAt(t, base)))
			judgeDropIn(t, w.dropInWith(t, "--timestamp-signer", "kms", "--kms-key-resource", "hashivault://"+name, "--certificate-chain-path", "chain.pem"))
		})
	}
}

// TestProgramSigner: a program of one's own, here a shell script around openssl, holds the key.
func TestProgramSigner(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	w := scratch(t)
	w.accept(t, nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "secret.pem")
	program := w.write(t, "sign", fmt.Appendf(nil, "#!/bin/sh\nset -e\ncase $1 in\npublic) exec %[1]s pkey -in %[2]s -pubout ;;\nsign) exec %[1]s pkeyutl -sign -inkey %[2]s -pkeyopt digest:$2 ;;\nesac\nexit 1\n",
		openssl, w.path("secret.pem")))
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	w.accept(t, nil, "openssl", "pkey", "-in", "secret.pem", "-pubout", "-out", "public.pem")
	w.accept(t, nil, ours("fencepost"), "cert", "create", "--public-key", "public.pem", "--out", "tsa")
	a, _ := w.serveKeys(t, "  key: exec:"+program+"\n  chain: tsa/chain.pem\n")
	w.stamps(t, a)
}

// TestStandby: when the Vault dies a key on a token goes on, with its own certificate.
func TestStandby(t *testing.T) {
	v := startVault(t)
	v.key(t, "tsa", "ecdsa-p256")
	w := scratch(t).use(v, v.token(t, "tsa", "1h"))
	uri := w.softToken(t, "standby")("signing")
	w.keyCreate(t, uri, "p256")
	w.chainFor(t, "hashivault://tsa", "tsa")
	w.chainFor(t, uri, "standby")
	a, admin := w.serveKeys(t, "  key: hashivault://tsa\n  chain: tsa/chain.pem\n  standby:\n  - {key: '"+uri+"', chain: standby/chain.pem}\n")
	w.stamps(t, a)
	v.stop()
	standby := newTSA(t, a.base, w.read(t, filepath.Join("standby", "chain.pem")))
	w.stamps(t, standby)
	w.refuse(t, []string{"erif"}, opensslVerify(a, "openssl.tsr", "-queryfile", "openssl.tsq")...)
	waitStatus(t, admin+"/readyz", http.StatusOK)
	if page := string(get(t, admin+"/metrics")); !strings.Contains(page, "fencepost_key_up{key=\"primary\"} 0\n") || !strings.Contains(page, "fencepost_key_issues{key=\"standby-1\"} 1\n") {
		t.Errorf("the metrics do not say which key issues")
	}
}

// TestStampingKeys: the key in Vault certifies, keys in memory sign, and everybody verifies.
func TestStampingKeys(t *testing.T) {
	v := startVault(t)
	v.key(t, "root", "ecdsa-p384")
	v.key(t, "ca", "ecdsa-p256")
	w := scratch(t).use(v, v.root)
	w.accept(t, nil, ours("fencepost"), "cert", "create", "--role", "tsa-ca", "--out", "ca", "--root-key", "hashivault://root", "--key", "hashivault://ca")
	w.accept(t, nil, ours("fencepost"), "cert", "check", "--role", "tsa-ca", "ca/chain.pem", "--key", "hashivault://ca")
	a, _ := w.serveKeys(t, "  key: hashivault://ca\n  chain: ca/chain.pem\n  history: history\n  delegate: {rotate: 24h, validity: 8760h}\n")
	judgeDropIn(t, a)
	w.stamps(t, a)
	v.stop() // it is needed again tomorrow
	w.stamps(t, a)
}
