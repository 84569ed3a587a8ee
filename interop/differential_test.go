package interop

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tspclient "github.com/notaryproject/tspclient-go"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

var update = flag.Bool("update", false, "write testdata/verdicts.txt anew")

// A corpus is a folder of tokens in verify/testdata, with what they are judged by.
type corpus struct {
	dir           string
	root          string    // PEM file whose last certificate is the trust anchor
	intermediates string    // PEM file of what may lie between
	request       string    // the request that all of them answer, if that is recorded
	now           time.Time // when they are judged; zero: now
	pattern       string    // of file names
}

var corpora = []corpus{
	{dir: "openssl", root: "root.pem", pattern: "*.tsr"},
	{dir: "timestamp-server", root: "leaf.pem", intermediates: "leaf.pem", pattern: "leaf-*.tsr"},
	{dir: "timestamp-server", root: "chain.pem", intermediates: "chain.pem", pattern: "chain-*.tsr"},
	// An hour after most of them were made: see the README there.
	{dir: "disputed", root: "root.pem", intermediates: "intermediate.pem", request: "request.tsq",
		now: time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC), pattern: "*.ts[rt]"},
}

// The judges, in the order of the columns of testdata/verdicts.txt.
var judges = []struct {
	name  string
	judge func(*testing.T, *tool, *exhibits) []string
}{
	{"fencepost", judgeOurs},
	{"openssl", judgeOpenSSL},
	{"bouncycastle", judgeBouncyCastle},
	{"tspclient-go", judgeTSPClients},
	{"timestamp-cli", judgeTimestampCLI},
}

// exhibits are the tokens of a corpus, ready to be judged.
type exhibits struct {
	corpus
	names         []string // of the files
	root          string   // PEM file of the trust anchor alone
	intermediates string   // PEM file of the others, may be empty
	data          string
	anchor        *x509.Certificate
	between       []*x509.Certificate
	req           *tsp.Request // nil if it is not recorded
}

func (e *exhibits) path(name string) string {
	dir, err := filepath.Abs(filepath.Join("../verify/testdata", e.dir))
	if err != nil {
		panic(err) // the working directory is gone
	}
	return filepath.Join(dir, name)
}

func (e *exhibits) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(e.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestVerdicts compares what five verifiers say of the same tokens with what is committed, so that neither
// we nor they change a verdict unnoticed. Of the others' verdicts, those that differ from ours are explained
// in doc/divergences.md.
func TestVerdicts(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-58s", "# file")
	for _, j := range judges {
		fmt.Fprintf(&table, " %-19s", j.name)
	}
	table.WriteString("\n")
	for _, c := range corpora {
		e, w := open(t, c), scratch(t)
		columns := make([][]string, len(judges))
		for i, j := range judges {
			if columns[i] = j.judge(t, w, e); len(columns[i]) != len(e.names) {
				t.Fatalf("%s: %d verdicts on %d files", j.name, len(columns[i]), len(e.names))
			}
		}
		for n, name := range e.names {
			fmt.Fprintf(&table, "%-58s", e.dir+"/"+name)
			for i := range judges {
				fmt.Fprintf(&table, " %-19s", columns[i][n])
			}
			table.WriteString("\n")
		}
	}
	var got strings.Builder
	for line := range strings.Lines(table.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	const golden = "testdata/verdicts.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("got  %s", line)
		}
	}
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("want %s", line)
		}
	}
}

func open(t *testing.T, c corpus) *exhibits {
	t.Helper()
	e := &exhibits{corpus: c}
	paths, err := filepath.Glob(e.path(c.pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		e.names = append(e.names, filepath.Base(path))
	}
	if len(e.names) == 0 {
		t.Fatalf("no %s in %s", c.pattern, c.dir)
	}
	w := scratch(t)
	e.data = e.path("data")
	roots := certificates(t, e.read(t, c.root))
	e.anchor = roots[len(roots)-1]
	e.root = w.write(t, "root.pem", pemOf(e.anchor))
	var between []byte
	if c.intermediates != "" {
		for _, cert := range certificates(t, e.read(t, c.intermediates)) {
			if !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
				e.between = append(e.between, cert)
				between = append(between, pemOf(cert)...)
			}
		}
	}
	e.intermediates = w.write(t, "intermediates.pem", between)
	if c.request != "" {
		if e.req, err = tsp.ParseRequest(e.read(t, c.request)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func certificates(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		t.Fatal("no certificate")
	}
	return list
}

// Verdicts of those who do not say why in a word.
const (
	accepted = "ok"
	refused  = "refused"
)

func verdict(ok bool) string {
	if ok {
		return accepted
	}
	return refused
}

func judgeOurs(t *testing.T, _ *tool, e *exhibits) []string {
	var out []string
	for _, name := range e.names {
		policy := verify.Policy{Roots: []*x509.Certificate{e.anchor}, Intermediates: e.between}
		if !e.now.IsZero() {
			policy.Now = func() time.Time { return e.now }
		}
		raw := e.read(t, name)
		imprint, err := imprintAs(raw, e.read(t, "data"))
		if e.req != nil {
			policy.Nonce, imprint, err = e.req.Nonce, e.req.Imprint, nil
		}
		if err == nil {
			_, err = policy.Bytes(raw, imprint)
		}
		var reason *verify.Error
		switch {
		case err == nil:
			out = append(out, accepted)
		case errors.As(err, &reason):
			out = append(out, string(reason.Reason))
		default:
			t.Errorf("%s: %v", name, err)
			out = append(out, refused)
		}
	}
	return out
}

// imprintAs hashes data with the algorithm that a response says.
func imprintAs(raw, data []byte) (tsp.Imprint, error) {
	message, err := tsp.ParseAny(raw)
	if err != nil {
		return tsp.Imprint{}, err
	}
	token, err := message.TimeStampToken()
	if err != nil {
		return tsp.Imprint{}, err
	}
	return tsp.ReadImprint(token.UnverifiedInfo.Imprint.Hash, bytes.NewReader(data))
}

func judgeOpenSSL(t *testing.T, w *tool, e *exhibits) []string {
	var out []string
	for _, name := range e.names {
		argv := []string{"openssl", "ts", "-verify", "-in", e.path(name), "-CAfile", e.root}
		if len(e.between) > 0 {
			argv = append(argv, "-untrusted", e.intermediates)
		}
		if e.req != nil {
			argv = append(argv, "-queryfile", e.path(e.request))
		} else {
			argv = append(argv, "-data", e.data)
		}
		if strings.HasSuffix(name, ".tst") {
			argv = append(argv, "-token_in")
		}
		if !e.now.IsZero() {
			argv = append(argv, "-attime", fmt.Sprint(e.now.Unix()))
		}
		r := w.run(t, argv...)
		if good := strings.Contains(r.stdout, "Verification: OK"); good != (r.code == 0) || !good && !strings.Contains(r.stdout, "Verification: FAILED") {
			t.Errorf("neither accepted nor refused: %v", r)
		}
		out = append(out, verdict(r.code == 0))
	}
	return out
}

func judgeBouncyCastle(t *testing.T, w *tool, e *exhibits) []string {
	request := "-"
	if e.req != nil {
		request = e.path(e.request)
	}
	argv := []string{"verify", e.root, e.data, request}
	for _, name := range e.names {
		argv = append(argv, e.path(name))
	}
	r := w.run(t, stamp(argv...)...)
	var out []string
	for line := range strings.Lines(r.stdout) {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "verified":
			out = append(out, accepted)
		case "refused":
			out = append(out, refused)
		}
	}
	if len(out) != len(e.names) {
		t.Fatalf("%d verdicts on %d files: %v", len(out), len(e.names), r)
	}
	return out
}

func judgeTSPClients(t *testing.T, _ *tool, e *exhibits) []string {
	var out []string
	for _, name := range e.names {
		token := e.read(t, name)
		var err error
		if !strings.HasSuffix(name, ".tst") {
			token, err = tspclientToken(t, e, token)
		}
		if err == nil {
			err = judgeTSPClient(t, token, e.read(t, "data"), e.anchor)
		}
		out = append(out, verdict(err == nil))
	}
	return out
}

// tspclientToken takes the token out of a response, compared with the request if there is one.
func tspclientToken(t *testing.T, e *exhibits, raw []byte) ([]byte, error) {
	t.Helper()
	var resp tspclient.Response
	if err := resp.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	if e.req != nil {
		var req tspclient.Request
		if err := req.UnmarshalBinary(e.read(t, e.request)); err != nil {
			t.Fatal(err)
		}
		if err := resp.Validate(&req); err != nil {
			return nil, err
		}
	}
	return resp.TimestampToken.FullBytes, nil
}

func judgeTimestampCLI(t *testing.T, w *tool, e *exhibits) []string {
	var out []string
	for _, name := range e.names {
		argv := []string{theirs(t, peers.TimestampCLI), "verify", "--timestamp", e.path(name), "--artifact", e.data, "--root-certificates", e.root}
		if len(e.between) > 0 {
			argv = append(argv, "--intermediate-certificates", e.intermediates)
		}
		if e.req != nil {
			argv = append(argv, "--nonce", e.req.Nonce.String())
		}
		out = append(out, verdict(w.run(t, argv...).code == 0))
	}
	return out
}
