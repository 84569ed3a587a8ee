package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// chainList returns the status of each chain that an authority publishes, and the chains as PEM files.
func (w *tool) chainList(t *testing.T, a *tsa) (status, files []string) {
	t.Helper()
	var doc struct {
		Chains []struct{ Status, PEM string }
	}
	if err := json.Unmarshal(get(t, a.base+"/api/v1/timestamp/certchains"), &doc); err != nil {
		t.Fatal(err)
	}
	for i, c := range doc.Chains {
		status = append(status, c.Status)
		files = append(files, w.write(t, fmt.Sprintf("published-%d.pem", i), []byte(c.PEM)))
	}
	return status, files
}

// TestRotationCosign: cosign verifies what was signed before and after a rotation with one trusted root, made
// from the chains that were published before it, and the rotation loses no request.
func TestRotationCosign(t *testing.T) {
	cosign := theirs(t, peers.CosignV3)
	w := cosignTool(t, cosign)
	w.certCreate(t, "p256", "one")
	w.accept(t, nil, ours("fencepost"), "cert", "create", "--out", "two")
	// The files are named by a link, as Kubernetes swaps a mounted secret.
	link := func(target string) {
		t.Helper()
		if err := os.Symlink(target, w.path("next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(w.path("next"), w.path("identity")); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	a, _ := w.serveKeys(t, "  key: file:identity/key.pem\n  chain: identity/chain.pem\n  announce: 5s\n  history: history\n")
	w.cosignConfig(t, cosign, a)
	sign := func(name string) {
		t.Helper()
		w.write(t, name, []byte("the data "+name))
		w.accept(t, nil, cosign, "sign-blob", "--key", "cosign.key", "--signing-config", "sc.json", "--bundle", name+".json", "-y", name)
	}
	verify := func(root, name string) []string {
		return []string{cosign, "verify-blob", "--key", "cosign.pub", "--trusted-root", root, "--use-signed-timestamps",
			"--insecure-ignore-tlog", "--bundle", name + ".json", name}
	}
	sign("before")
	w.accept(t, []string{"Verified OK"}, verify("tr.json", "before")...)

	link("two")
	var status, files []string
	for deadline := time.Now().Add(startTimeout); len(files) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no chain is announced: %q", status)
		}
		status, files = w.chainList(t, a)
	}
	if strings.Join(status, " ") != "announced current" {
		t.Fatalf("chains: %q", status)
	}
	argv := []string{cosign, "trusted-root", "create", "--with-default-services=false", "--out", "both.json"}
	for i, file := range files {
		// cosign wants each authority to have an address of its own.
		argv = append(argv, fmt.Sprintf("--tsa=url=%s/%d,certificate-chain=%s", a.base, i, file))
	}
	w.accept(t, nil, argv...)

	w.write(t, "data", []byte("the data"))
	two := w.read(t, "two/chain.pem")
	for n := 0; string(chainAt(t, a.base)) != string(two); n++ {
		if n > 1000 {
			t.Fatal("the announced chain does not take over")
		}
		w.create(t, a, "data", "during.tsr", "--force") // no request fails meanwhile
	}
	sign("after")
	w.accept(t, []string{"Verified OK"}, verify("both.json", "before")...)
	w.accept(t, []string{"Verified OK"}, verify("both.json", "after")...)
	w.refuse(t, []string{"threshold not met for verified signed timestamps"}, verify("tr.json", "after")...)
	if status, _ := w.chainList(t, a); strings.Join(status, " ") != "current past" {
		t.Errorf("chains: %q", status)
	}
}
