package deploy

import (
	"context"
	"encoding/json"
	"errors"
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
	envBin  = "FENCEPOST_DEPLOY_BIN"  // directory of our binaries, as deploy/build makes them
	envCRDs = "FENCEPOST_DEPLOY_CRDS" // directory of the Prometheus operator's definitions
)

// root is our repository.
const root = "../.."

// debian lists what the tests need of Debian.
var debian = []peers.Need{
	{Command: "git", Package: "git"},
	{Command: "openssl", Package: "openssl"},
	{Command: "curl", Package: "curl"},
	{Command: "buildah", Package: "buildah"},
	{Command: "docker-compose", Package: "docker-compose"},
	{Command: "promtool", Package: "prometheus"},
	{Command: "prometheus", Package: "prometheus"},
	{Command: "systemd-analyze", Package: "systemd"},
	{Command: "systemd-nspawn", Package: "systemd-container"},
	{Command: "/usr/lib/systemd/systemd", Package: "systemd"},
	{Command: "dbus-daemon", Package: "dbus"},
	{Command: "dpkg-deb", Package: "dpkg"},
	{Command: "lintian", Package: "lintian"},
	{Command: "ss", Package: "iproute2"},
	{Command: "unshare", Package: "util-linux"},
	{Command: "setpriv", Package: "util-linux"},
	{Command: "/etc/ssl/certs/ca-certificates.crt", Package: "ca-certificates"},
}

// The Go programs of others that the tests run.
var (
	helm      = peers.Program{Name: "helm", Version: "v3.19.0", Package: "helm.sh/helm/v3/cmd/helm"}
	kustomize = peers.Program{Name: "kustomize", Version: "v5.7.1", Package: "sigs.k8s.io/kustomize/kustomize/v5"}
	// validate has the schemas of Kubernetes built in, up to kubernetes below.
	validate = peers.Program{Name: "kubectl-validate", Version: "v0.0.4", Package: "sigs.k8s.io/kubectl-validate"}
)

// kubernetes is the version that manifests are held against.
const kubernetes = "1.30.0"

// operator is a module for the sake of its definitions of ServiceMonitor and PrometheusRule.
const operator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

func TestMain(m *testing.M) { os.Exit(netns.Main(m, prepare)) }

// prepare does everything that needs the network, and the building, and returns the environment that tells
// where it is.
func prepare(ctx context.Context, tmp string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("deploy: building images and booting systemd need root: run this check as root")
	}
	if err := peers.Debian(ctx, os.Stderr, debian...); err != nil {
		return nil, err
	}
	for _, p := range []peers.Program{helm, kustomize, validate} {
		if err := p.Install(ctx, os.Stderr); err != nil {
			return nil, err
		}
	}
	var module struct{ Dir, Error string }
	// Outside of any module: it must not become a requirement of ours.
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", operator)
	download.Dir, download.Env = tmp, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := download.Output()
	if err = errors.Join(err, json.Unmarshal(out, &module)); err != nil || module.Error != "" {
		return nil, fmt.Errorf("%s: %w %s", download, err, module.Error)
	}
	bin := filepath.Join(tmp, "bin")
	for _, cmd := range []*exec.Cmd{
		// The image is built without a network: every module of ours has to be there.
		exec.CommandContext(ctx, "go", "-C", root, "mod", "download"),
		exec.CommandContext(ctx, root+"/deploy/build", bin),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return []string{envBin + "=" + bin, envCRDs + "=" + filepath.Join(module.Dir, "example/prometheus-operator-crd")}, nil
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
