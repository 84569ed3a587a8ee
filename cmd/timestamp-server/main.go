// Command timestamp-server is an RFC 3161 timestamp authority with the flags
// and the interfaces of its namesake in sigstore/timestamp-authority.
package main

import (
	"context"
	"os"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
)

func main() {
	env := cli.System("timestamp-server")
	ctx, stop := cli.Interruptible(context.Background())
	status := peer.Exit(cli.Run(ctx, env, peerserver.New(env), os.Args[1:]))
	stop()
	os.Exit(status)
}
