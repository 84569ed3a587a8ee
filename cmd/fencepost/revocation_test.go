package main

import (
	"encoding/hex"
	"net/http"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// revocable returns the command of the scripts that is the CA of an authority:
//
//	revocable serve     start it; leave a timestamp in a.tsr, its digest in
//	                    $DIGEST, the root in root.pem
//	revocable revoke    revoke the authority's certificate
//	revocable down      answer nothing but errors from now on
func revocable(t *testing.T) func(*testscript.TestScript, bool, []string) {
	var ca *revocationtest.Server
	return func(ts *testscript.TestScript, _ bool, args []string) {
		switch args[0] {
		case "serve":
			ca = revocationtest.Serve(t, revocationtest.Config{})
			response, err := ca.Forge().MakeResponse()
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs("a.tsr"), response, 0o644))
			ts.Check(os.WriteFile(ts.MkAbs("root.pem"), ca.RootPEM(), 0o644))
			ts.Setenv("DIGEST", hex.EncodeToString(tsptest.Imprint().Digest))
		case "revoke":
			ca.Revoke(ca.Chain.Leaf, tsptest.Time(), pki.ReasonKeyCompromise)
		case "down":
			for _, path := range []string{revocationtest.OCSP, revocationtest.LeafCRL, revocationtest.IntermediateCRL} {
				ca.Handle(path, http.NotFound)
			}
		default:
			ts.Fatalf("revocable %s", args[0])
		}
	}
}
