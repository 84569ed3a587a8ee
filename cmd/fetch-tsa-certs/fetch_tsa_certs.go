// Command fetch-tsa-certs makes the certificate chain of a timestamp authority
// whose keys are in a KMS, with the flags of its namesake in
// sigstore/timestamp-authority:
//
//	go run cmd/fetch-tsa-certs/fetch_tsa_certs.go \
//	  --parent-kms-resource=hashivault://parent --leaf-kms-resource=hashivault://tsa \
//	  --org-name=Example --output=chain.pem
package main

import (
	"context"
	"os"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
)

func main() {
	env := cli.System("fetch-tsa-certs")
	ctx, stop := cli.Interruptible(context.Background())
	status := peer.Exit(cli.Run(ctx, env, peercerts.New(env, peercerts.Config{}), peercerts.Args(os.Args[1:])))
	stop()
	os.Exit(status)
}
