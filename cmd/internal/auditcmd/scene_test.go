package auditcmd

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// run runs "fencepost audit ARGS" in this process, in the current folder.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdout: &stdout, Stderr: &stderr}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(New(env))
	code := cli.Run(t.Context(), env, root, append([]string{"audit"}, args...))
	return result{code, stdout.String(), stderr.String()}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// began is when the first token of a scene was issued.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issued is a token of a scene; each is a minute after the one before.
type issued struct {
	serial     byte // the last octet
	digest     tsp.Imprint
	key        string
	clockState string
	bound      time.Duration
	client     string
	token      []byte
}

// A keeper writes a record.
type keeper struct {
	*audit.Log
	t   *testing.T
	now time.Time
}

// stamps stamps by the authority that root.pem is the root of.
func stamps(t *testing.T, k *keeper) func(context.Context, []byte) ([]byte, error) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	return func(_ context.Context, digest []byte) ([]byte, error) {
		imprint, err := tsp.NewImprint(crypto.SHA256, digest)
		if err != nil {
			return nil, err
		}
		f := *forge
		f.Request, f.Time = tsp.NewRequest(imprint), k.now
		return f.MakeToken()
	}
}

// keep opens a record in a folder. Its files are small, so that there are many.
func keep(t *testing.T, dir string, from time.Time, stamped bool) *keeper {
	t.Helper()
	k := &keeper{t: t, now: from}
	cfg := audit.Config{
		Dir: dir, Instance: dir, Host: "host", Program: "fencepost test", Now: func() time.Time { return k.now },
		SegmentAge: 3 * time.Minute, StampEvery: time.Millisecond,
	}
	if stamped {
		cfg.Stamp = stamps(t, k)
	}
	var err error
	if k.Log, err = audit.Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// stamp has what there is stamped.
func (k *keeper) stamp() {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	for seq := k.State().Seq; k.State().Stamped < seq; time.Sleep(time.Millisecond) {
		if err := k.State().StampErr; err != nil {
			k.t.Error(err)
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		k.t.Error(err)
	}
}

func (k *keeper) append(rec audit.Record) {
	k.t.Helper()
	if err := k.Append(k.t.Context(), rec); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) issue(list ...issued) {
	k.t.Helper()
	for _, i := range list {
		k.append(&audit.Token{
			Serial: serial(i.serial), GenTime: k.now, Policy: "1.3.6.1.4.1.57264.2",
			Algorithm: i.digest.AlgorithmName(), Digest: i.digest.Digest,
			Accuracy: time.Second, ClockState: i.clockState, ClockBound: i.bound,
			Certificate: sha256.Sum256([]byte(i.key)), Key: i.key, TokenSHA256: sha256.Sum256(i.token), Client: i.client,
		})
		k.now = k.now.Add(time.Minute)
	}
}

// serial is a number as long as those of the authority.
func serial(last byte) []byte {
	return append(bytes.Repeat([]byte{0x5c}, 19), last)
}

func imprint(h crypto.Hash, data string) tsp.Imprint {
	m, err := tsp.ReadImprint(h, strings.NewReader(data))
	if err != nil {
		panic(err)
	}
	return m
}

// files are the files of a record, in their order.
func files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(list) == 0 {
		t.Fatalf("files of %s: %q, %v", dir, list, err)
	}
	return list
}

// scene is a folder with a record "audit" of several files, with timestamps, as
// a server leaves it; "root.pem" is the root of who made them, and "other.pem"
// of somebody else. "release" is a file that was stamped, and "release.tst" its
// timestamp.
func scene(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	forge := tsptest.NewForge(t, pkitest.Options{})
	for name, id := range map[string]tsptest.Identity{"root.pem": forge.Identity, "other.pem": tsptest.NewForge(t, pkitest.Options{Name: "Other"}).Identity} {
		root, err := id.Root()
		if err != nil {
			t.Fatal(err)
		}
		write(t, name, pki.EncodeChain([]*x509.Certificate{root}))
	}
	write(t, "release", []byte("release"))
	write(t, "elsewhere", []byte("never stamped"))
	release := imprint(crypto.SHA512, "release")
	forge.Request = tsp.NewRequest(release)
	token, err := forge.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	write(t, "release.tst", token)

	k := keep(t, "audit", began, true)
	k.append(&audit.Start{Program: "fencepost test", PID: 17})
	k.append(&audit.Key{Event: audit.KeyOpened, Key: "primary", Certificate: sha256.Sum256([]byte("primary"))})
	good := issued{digest: imprint(crypto.SHA256, "data"), key: "primary", clockState: "synchronised", bound: 20 * time.Millisecond, client: "192.0.2.7"}
	for n := range byte(4) {
		good.serial = n + 1
		k.issue(good)
	}
	k.stamp()
	k.append(&audit.Clock{Event: audit.ClockDrift, State: "unmonitored", Bound: time.Second})
	bad := issued{serial: 0x10, digest: release, key: "standby-1", clockState: "unmonitored", bound: time.Second, client: "builder", token: token}
	k.issue(bad)
	good.bound = 200 * time.Millisecond
	for n := range byte(3) {
		good.serial = n + 0x20
		k.issue(good)
	}
	k.stamp()
	k.append(&audit.Stop{Reason: "told to stop"})
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, "audit")); n < 3 {
		t.Fatalf("a record of %d files", n)
	}
}
