package interop

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A step is a block of commands in a document, with what its comment says will come of it.
type step struct {
	commands string
	server   bool     // it runs until the end
	status   int      // exit status of the last command
	words    []string // in its output
	prints   string   // all that it prints on standard output, "" if the document does not say
}

var (
	stepForm   = regexp.MustCompile("(?s)<!-- (run|server)(?:, exit status (\\d))?(?:: ([^>]*?))? -->\n```sh\n(.*?)```\n(?:\n<!-- prints -->\n```text\n(.*?)```\n)?")
	markerForm = regexp.MustCompile(`<!-- (?:run|server|prints)\b`)
)

// readSteps returns the steps in a section of a document.
func readSteps(t *testing.T, file, heading string) (steps []step) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	markers := 0
	for _, m := range stepForm.FindAllStringSubmatch(section, -1) {
		s := step{server: m[1] == "server", commands: m[4], prints: m[5]}
		if m[2] != "" {
			if s.status, err = strconv.Atoi(m[2]); err != nil {
				t.Fatal(err)
			}
		}
		if m[3] != "" {
			s.words = strings.Split(m[3], "; ")
		}
		steps = append(steps, s)
		if markers++; s.prints != "" {
			markers++
		}
	}
	if n := len(markerForm.FindAllString(section, -1)); n != markers {
		t.Fatalf("%s, %s: %d comments say what to run, and %d could be read", file, heading, n, markers)
	}
	if blocks := strings.Count(section, "```sh\n"); blocks != len(steps) {
		t.Fatalf("%s, %s: %d blocks of sh, and %d are run", file, heading, blocks, len(steps))
	}
	return steps
}

// A notaryRun does what doc/notary.md says.
type notaryRun struct {
	*tool
	registry *registry
	// expires is when the signer's certificate does; zero if nobody waits for that.
	expires time.Time
}

// TestNotaryWalkthrough does what doc/notary.md says under "From nothing to a signature that lasts", word for word but
// for the port of the registry, against the registry of the CNCF and an authority of ours that keeps its key.
func TestNotaryWalkthrough(t *testing.T) {
	steps := readSteps(t, "../doc/notary.md", "## From nothing to a signature that lasts")
	// What the page is about, whatever else is written there: with the authority's store it verifies after the
	// certificate has expired, in both settings, and without it not.
	var later []int
	for _, s := range steps {
		if strings.Contains(s.commands, `image verify --at "$LATER"`) {
			later = append(later, s.status)
		}
	}
	if want := []int{0, 1, 0, 2}; !slices.Equal(later, want) {
		t.Fatalf("after expiry, the page has exit status %v, want %v", later, want)
	}
	t.Run("as pasted", func(t *testing.T) {
		w := newNotaryRun(t)
		w.all(t, steps)
		// The section about files goes on from there.
		w.write(t, "app.tar.gz", []byte("a file\n"))
		w.all(t, readSteps(t, "../doc/notary.md", "## Files"))
	})
	// The same with a certificate that does expire, and without --at.
	t.Run("waiting", func(t *testing.T) {
		w := newNotaryRun(t)
		w.expires = time.Now().Add(15 * time.Second).Truncate(time.Second)
		w.all(t, steps)
		image := w.accept(t, nil, "bash", "-euc", `. ./state; printf %s "$IMAGE"`).stdout
		r := w.refuse(t, []string{"a timestamp would come too late to prove anything"}, ours("fencepost"), "image", "restamp",
			"--timestamp-url", "http://127.0.0.1:3000", "--timestamp-root-cert", "tsa/tsa-root.pem", image)
		if r.code != 1 {
			t.Errorf("want exit status 1: %v", r)
		}
	})
}

func newNotaryRun(t *testing.T) *notaryRun {
	t.Helper()
	w := &notaryRun{tool: scratch(t), registry: startRegistry(t)}
	w.env = append(w.env, "PATH="+strings.TrimSuffix(ours("fencepost"), "/fencepost")+":"+os.Getenv("PATH"))
	// What docker push does.
	image := w.registry.push(t, "net-monitor", []byte("a layer"))
	base := "http://" + w.registry.host + "/v2/net-monitor/manifests/"
	_, digest, _ := strings.Cut(image, "@")
	_, data := w.registry.do(t, http.MethodGet, base+digest, "", nil)
	w.registry.do(t, http.MethodPut, base+"v1", typeManifest, data)
	return w
}

// all takes the steps one after another.
func (w *notaryRun) all(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		w.take(t, s)
		switch {
		case strings.Contains(s.commands, "--init"):
			w.declareClock(t)
		case strings.Contains(s.commands, "cert create") && !w.expires.IsZero():
			w.shorten(t)
		}
	}
}

// take runs one step. What it exports is there for the next.
func (w *notaryRun) take(t *testing.T, s step) {
	t.Helper()
	_, port, _ := strings.Cut(w.registry.host, ":")
	commands := strings.ReplaceAll(s.commands, "localhost:5000", "localhost:"+port)
	if !w.expires.IsZero() && strings.Contains(commands, `--at "$LATER"`) {
		commands = strings.ReplaceAll(commands, `--at "$LATER" `, "")
		time.Sleep(time.Until(w.expires.Add(time.Second)))
	}
	if s.server {
		w.start(t, "http://127.0.0.1:2112/readyz", "sh", "-euc", "exec "+commands)
		return
	}
	if !w.expires.IsZero() && strings.Contains(commands, "image sign") && time.Now().After(w.expires) {
		t.Fatal("the certificate expired before it signed")
	}
	r := w.run(t, "bash", "-euo", "pipefail", "-c", "[[ ! -e state ]] || . ./state\n"+commands+"\nexport -p > state")
	if r.code != s.status {
		t.Fatalf("want exit status %d: %v", s.status, r)
	}
	expect(t, r, s.words)
	if s.prints != "" && w.expires.IsZero() {
		if got, want := withoutChance(r.stdout), withoutChance(s.prints); got != want {
			t.Errorf("the page has\n%s\nand it prints\n%s", want, got)
		}
	}
}

// declareClock does what the page says for a machine whose clock nobody keeps.
func (w *notaryRun) declareClock(t *testing.T) {
	t.Helper()
	const kernel, system = "clock: {source: kernel}", "clock: {source: system, bound: 500ms}"
	config := w.read(t, "tsa/fencepost.yaml")
	if !bytes.Contains(config, []byte(kernel)) {
		t.Fatalf("the configuration does not have %q:\n%s", kernel, config)
	}
	w.write(t, "tsa/fencepost.yaml", bytes.ReplaceAll(config, []byte(kernel), []byte(system)))
}

// shorten puts a signer in place of the one that "cert create" made, whose certificate expires soon.
func (w *notaryRun) shorten(t *testing.T) {
	t.Helper()
	s := bentIdentity(t, "p256", func(leaf *x509.Certificate) {
		leaf.NotAfter = w.expires
		leaf.Subject = pkix.Name{Country: []string{"DE"}, Province: []string{"Berlin"}, Organization: []string{"Example"}, CommonName: "Signer"}
	})
	for name, from := range map[string]string{"signer/key.pem": s.key, "signer/chain.pem": s.chain} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, name, data)
	}
	w.write(t, "signer/root.pem", s.root)
}

// withoutChance takes out of a text what is another each time.
func withoutChance(text string) string {
	for _, r := range []struct{ form, to string }{
		{`[0-9a-f]{64}`, "DIGEST"},
		{`0x[0-9a-f]{20,}`, "SERIAL"},
		{`[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}`, "TIME"},
		{`\d{4}-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
		{`localhost:\d+`, "REGISTRY"},
		{`fencepost/\S+`, "AGENT"},
		{`size: \d+`, "SIZE"},
	} {
		text = regexp.MustCompile(r.form).ReplaceAllString(text, r.to)
	}
	return text
}
