package interop

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// cosignTool returns a tool with cosign's key pair, made without a password.
func cosignTool(t *testing.T, cosign string) *tool {
	t.Helper()
	w := scratch(t)
	w.env = append(w.env, "COSIGN_PASSWORD=")
	w.accept(t, nil, cosign, "generate-key-pair")
	return w
}

// cosignConfig leaves sc.json and tr.json: whom cosign 3 asks for timestamps and whom it trusts for them.
func (w *tool) cosignConfig(t *testing.T, cosign string, a *tsa) {
	t.Helper()
	w.accept(t, nil, cosign, "signing-config", "create", "--with-default-services=false",
		"--tsa=url="+a.url+",api-version=1,start-time=2024-01-01T00:00:00Z,operator=us", "--tsa-config=ANY", "--out", "sc.json")
	w.accept(t, nil, cosign, "trusted-root", "create", "--with-default-services=false",
		"--tsa=url="+a.url+",certificate-chain="+a.chain, "--out", "tr.json")
}

// TestCosignBlob: cosign 3 signs a file with a key of its own and a timestamp, into a Sigstore bundle.
func TestCosignBlob(t *testing.T) {
	cosign := theirs(t, peers.CosignV3)
	a, w := startDev(t), cosignTool(t, cosign)
	w.cosignConfig(t, cosign, a)
	w.write(t, "data", []byte("the data"))
	w.write(t, "other", []byte("other data"))
	w.accept(t, nil, cosign, "sign-blob", "--key", "cosign.key", "--signing-config", "sc.json", "--bundle", "data.json", "-y", "data")

	verify := func(root, bundle, file string) []string {
		return []string{cosign, "verify-blob", "--key", "cosign.pub", "--trusted-root", root, "--use-signed-timestamps",
			"--insecure-ignore-tlog", "--bundle", bundle, file}
	}
	w.accept(t, []string{"Verified OK"}, verify("tr.json", "data.json", "data")...)

	w.refuse(t, []string{"invalid signature"}, verify("tr.json", "data.json", "other")...)
	w.write(t, "broken.json", mapTimestamps(t, w.read(t, "data.json"), func(tsr []byte) []byte { return flip(tsr, 10) }))
	w.refuse(t, []string{"threshold not met for verified signed timestamps", "ECDSA verification failure"}, verify("tr.json", "broken.json", "data")...)
	w.write(t, "none.json", mapTimestamps(t, w.read(t, "data.json"), nil))
	w.refuse(t, []string{"threshold not met for verified signed timestamps"}, verify("tr.json", "none.json", "data")...)

	w.accept(t, nil, cosign, "trusted-root", "create", "--with-default-services=false",
		"--tsa=url="+a.url+",certificate-chain="+foreignChain(t, w), "--out", "foreign.json")
	w.refuse(t, []string{"threshold not met for verified signed timestamps"}, verify("foreign.json", "data.json", "data")...)
}

// mapTimestamps changes each timestamp of a Sigstore bundle, or takes them out.
func mapTimestamps(t *testing.T, bundle []byte, change func([]byte) []byte) []byte {
	t.Helper()
	var b map[string]any
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	material, _ := b["verificationMaterial"].(map[string]any)
	data, _ := material["timestampVerificationData"].(map[string]any)
	list, _ := data["rfc3161Timestamps"].([]any)
	if len(list) == 0 {
		t.Fatalf("no timestamp in %s", bundle)
	}
	if change == nil {
		delete(material, "timestampVerificationData")
	}
	for _, entry := range list {
		ts, _ := entry.(map[string]any)
		text, _ := ts["signedTimestamp"].(string)
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(der) == 0 {
			t.Fatalf("timestamp %q: %v", text, err)
		}
		if change != nil {
			ts["signedTimestamp"] = base64.StdEncoding.EncodeToString(change(der))
		}
	}
	out, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCosignImage: cosign 2 signs an image in a registry, in its older format, which keeps the timestamp
// in an annotation.
func TestCosignImage(t *testing.T) {
	cosign := theirs(t, peers.CosignV2)
	a, w := startDev(t), cosignTool(t, cosign)
	registry := startRegistry(t)
	image := registry.push(t, "fencepost/image", []byte("the layer"))
	w.accept(t, nil, cosign, "sign", "--key", "cosign.key", "--timestamp-server-url", a.url, "--tlog-upload=false",
		"--allow-insecure-registry", "--allow-http-registry", "-y", image)
	verify := func(chain, image string) []string {
		return []string{cosign, "verify", "--key", "cosign.pub", "--timestamp-certificate-chain", chain, "--insecure-ignore-tlog",
			"--allow-insecure-registry", "--allow-http-registry", image}
	}
	w.accept(t, []string{"The signatures were verified against the specified public key"}, verify(a.chain, image)...)

	other := registry.push(t, "fencepost/image", []byte("another layer"))
	w.refuse(t, []string{"no signatures found"}, verify(a.chain, other)...)
	w.refuse(t, []string{"unable to verify RFC3161 timestamp bundle"}, verify(foreignChain(t, w), image)...)
	registry.changeAnnotation(t, image, "dev.sigstore.cosign/rfc3161timestamp", func(value string) string {
		var ts struct{ SignedRFC3161Timestamp []byte }
		if err := json.Unmarshal([]byte(value), &ts); err != nil {
			t.Fatal(err)
		}
		ts.SignedRFC3161Timestamp = flip(ts.SignedRFC3161Timestamp, 10)
		out, err := json.Marshal(ts)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
	w.refuse(t, []string{"unable to verify RFC3161 timestamp bundle"}, verify(a.chain, image)...)
}
