package interop

import (
	"path/filepath"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// stampJS is a command line of js/stamp.js.
func stampJS(t *testing.T, args ...string) []string {
	t.Helper()
	script, err := filepath.Abs("js/stamp.js")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"node", script}, args...)
}

// TestSigstoreJS: the npm packages of Sigstore ask by JSON and put the reply into a bundle; the bundles of
// each are judged by the other.
func TestSigstoreJS(t *testing.T) {
	cosign := theirs(t, peers.CosignV3)
	a, w := startDev(t), cosignTool(t, cosign)
	w.cosignConfig(t, cosign, a)
	w.write(t, "data", []byte("the data"))
	w.write(t, "other", []byte("other data"))
	w.accept(t, nil, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "js.key")
	w.accept(t, nil, "openssl", "ec", "-in", "js.key", "-pubout", "-out", "js.pub")
	// Both forms of the address that its users configure.
	w.accept(t, []string{"signed"}, stampJS(t, "sign", a.url, "js.key", "data", "url.json")...)
	w.accept(t, []string{"signed"}, stampJS(t, "sign", a.base, "js.key", "data", "js.json")...)

	w.accept(t, []string{"verified"}, stampJS(t, "verify", "tr.json", "js.pub", "data", "url.json")...)
	w.accept(t, []string{"verified"}, stampJS(t, "verify", "tr.json", "js.pub", "data", "js.json")...)
	w.refuse(t, []string{"SIGNATURE_ERROR"}, stampJS(t, "verify", "tr.json", "js.pub", "other", "js.json")...)
	w.write(t, "broken.json", mapTimestamps(t, w.read(t, "js.json"), func(tsr []byte) []byte { return flip(tsr, 10) }))
	w.refuse(t, []string{"TIMESTAMP_ERROR"}, stampJS(t, "verify", "tr.json", "js.pub", "data", "broken.json")...)
	w.write(t, "none.json", mapTimestamps(t, w.read(t, "js.json"), nil))
	w.refuse(t, []string{"TIMESTAMP_ERROR"}, stampJS(t, "verify", "tr.json", "js.pub", "data", "none.json")...)
	w.accept(t, nil, cosign, "trusted-root", "create", "--with-default-services=false",
		"--tsa=url="+a.url+",certificate-chain="+foreignChain(t, w), "--out", "foreign.json")
	w.refuse(t, []string{"TIMESTAMP_ERROR"}, stampJS(t, "verify", "foreign.json", "js.pub", "data", "js.json")...)

	w.accept(t, nil, cosign, "sign-blob", "--key", "cosign.key", "--signing-config", "sc.json", "--bundle", "cosign.json", "-y", "data")
	w.accept(t, []string{"verified"}, stampJS(t, "verify", "tr.json", "cosign.pub", "data", "cosign.json")...)
	w.refuse(t, []string{"SIGNATURE_ERROR"}, stampJS(t, "verify", "tr.json", "cosign.pub", "other", "cosign.json")...)
	w.accept(t, []string{"Verified OK"}, cosign, "verify-blob", "--key", "js.pub", "--trusted-root", "tr.json",
		"--use-signed-timestamps", "--insecure-ignore-tlog", "--bundle", "js.json", "data")
}
