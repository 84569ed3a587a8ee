// Command timestamp-cli asks for, verifies and inspects RFC 3161 timestamps,
// with the flags and the output of its namesake in sigstore/timestamp-authority.
package main

import (
	"context"
	"os"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercli"
)

func main() {
	env := cli.System("timestamp-cli")
	ctx, stop := cli.Interruptible(context.Background())
	status := peer.Exit(cli.Run(ctx, env, peercli.New(env), os.Args[1:]))
	stop()
	os.Exit(status)
}
