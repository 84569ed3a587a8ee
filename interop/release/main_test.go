package release

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// everything widens the test to all targets, each built twice and the second time from nothing, which takes
// half an hour.
var everything = flag.Bool("everything", false, "build every target twice")

// root is our repository.
const root = "../.."

// debian lists what the tests need of Debian.
var debian = []peers.Need{
	{Command: "git", Package: "git"},
	{Command: "openssl", Package: "openssl"},
	{Command: "dpkg-deb", Package: "dpkg"},
	{Command: "node", Package: "nodejs"},
	{Command: "npm", Package: "npm"},
}

// nodeModules is where the validator of the CycloneDX project is.
var nodeModules string

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	needs := debian
	if *everything {
		needs = append(slices.Clone(needs), peers.Need{Command: "x86_64-linux-gnu-gcc", Package: "gcc"})
	}
	if err := peers.Debian(ctx, os.Stderr, needs...); err != nil {
		return err
	}
	var err error
	nodeModules, err = peers.Node(ctx, os.Stderr, "js")
	return err
}
