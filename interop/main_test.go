package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/netns"
	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// The variables by which the process outside tells the one in the namespace what it has made ready.
const (
	envBin   = "FENCEPOST_INTEROP_BIN"   // directory of our binaries
	envNode  = "NODE_PATH"               // directory of the npm packages, where Node.js looks for them
	envJava  = "FENCEPOST_INTEROP_JAVA"  // directory of our compiled Java classes
	envVault = "FENCEPOST_INTEROP_VAULT" // the command of the module vault

	envOCIRegistry  = "FENCEPOST_INTEROP_OCIREGISTRY"  // the command of the module ociregistry
	envNotation     = "FENCEPOST_INTEROP_NOTATION"     // the command of the module notation, of the last release
	envNotationMain = "FENCEPOST_INTEROP_NOTATIONMAIN" // the same of the main branch
)

// debian lists what the tests need of Debian.
var debian = []peers.Need{
	{Command: "gcc", Package: "gcc"},
	{Command: "openssl", Package: "openssl"},
	{Command: "curl", Package: "curl"},
	{Command: "make", Package: "make"},
	{Command: "osslsigncode", Package: "osslsigncode"},
	{Command: "javac", Package: "openjdk-17-jdk-headless"},
	{Command: "jarsigner", Package: "openjdk-17-jdk-headless"},
	{Command: "/usr/share/java/bcpkix.jar", Package: "libbcpkix-java"},
	{Command: "/usr/share/java/bcprov.jar", Package: "libbcprov-java"},
	{Command: "/usr/share/java/bcutil.jar", Package: "libbcutil-java"},
	{Command: "node", Package: "nodejs"},
	{Command: "npm", Package: "npm"},
	{Command: "softhsm2-util", Package: "softhsm2"},
	{Command: softHSM, Package: "softhsm2"},
	{Command: "pkcs11-tool", Package: "opensc"},
	{Command: "chronyd", Package: "chrony"},
	{Command: "faketime", Package: "faketime"},
	{Command: "haproxy", Package: "haproxy"},
}

// programs lists the Go programs of others that the tests run.
var programs = []peers.Program{
	peers.TimestampServer, peers.TimestampCLI, peers.Registry, peers.CosignV3, peers.CosignV2,
}

func TestMain(m *testing.M) { os.Exit(netns.Main(m, prepare)) }

// prepare does everything that needs the network, and the building, and returns the environment that tells
// where it is.
func prepare(ctx context.Context, tmp string) ([]string, error) {
	if err := peers.Debian(ctx, os.Stderr, debian...); err != nil {
		return nil, err
	}
	for _, p := range programs {
		if err := p.Install(ctx, os.Stderr); err != nil {
			return nil, err
		}
	}
	node, err := peers.Node(ctx, os.Stderr, "js")
	if err != nil {
		return nil, err
	}
	env := []string{envNode + "=" + node}
	for _, m := range []struct {
		env, name, source string
		flags             []string
	}{
		{env: envVault, name: "vault", source: "vault"},
		{env: envOCIRegistry, name: "ociregistry", source: "ociregistry"},
		{env: envNotation, name: "notation", source: "notation"},
		{env: envNotationMain, name: "notation-main", source: "notation", flags: []string{"-modfile=main.mod", "-tags=notationmain"}},
	} {
		path, err := peers.Module(ctx, os.Stderr, m.name, m.source, m.flags...)
		if err != nil {
			return nil, err
		}
		env = append(env, m.env+"="+path)
	}
	bin, classes := filepath.Join(tmp, "bin"), filepath.Join(tmp, "classes")
	for _, dir := range []string{bin, classes} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	sources, err := filepath.Glob("java/*.java")
	if err != nil {
		return nil, err
	}
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", bin+"/", "./cmd/..."),
		exec.CommandContext(ctx, "javac", append([]string{"-cp", bouncyCastle, "-d", classes}, sources...)...),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return append(env, envBin+"="+bin, envJava+"="+classes), nil
}

// ours is the path of one of our binaries.
func ours(name string) string { return filepath.Join(os.Getenv(envBin), name) }

// theirs is the path of a Go program of somebody else.
func theirs(t *testing.T, p peers.Program) string {
	t.Helper()
	path, err := p.Path()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
