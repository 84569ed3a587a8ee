package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// A recorded server keeps a record of issue, in the folder "audit" below its tool's.
type recorded struct {
	*tool
	base, admin string
	seq         atomic.Uint64 // of requests, none of which is like another
}

// newRecorded makes a key and a configuration, and starts nothing yet. Files are short, so that there are many.
func newRecorded(t *testing.T) *recorded {
	t.Helper()
	s := &recorded{tool: scratch(t)}
	s.certCreate(t, "p256", "tsa")
	s.base, s.admin = "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t)
	s.write(t, "fencepost.yaml", fmt.Appendf(nil, auditConfig, strings.TrimPrefix(s.base, "http://"), strings.TrimPrefix(s.admin, "http://"), ourPolicy))
	return s
}

// ask asks for a timestamp and returns its serial number in hexadecimal. The error is a *tsp.Rejection if the server
// refused.
func (s *recorded) ask(ctx context.Context, client *http.Client) (string, error) {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.seq.Add(1)))
	imprint, err := tsp.NewImprint(crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	req := tsp.NewRequest(imprint)
	req.CertReq = false
	der, err := req.Marshal()
	if err != nil {
		return "", err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/api/v1/timestamp", bytes.NewReader(der))
	if err != nil {
		return "", err
	}
	post.Header.Set("Content-Type", "application/timestamp-query")
	reply, err := client.Do(post)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return "", err
	}
	resp, err := tsp.ParseResponse(body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", reply.Status, err)
	}
	if resp.Rejection != nil {
		return "", resp.Rejection
	}
	return hex.EncodeToString(resp.Token.UnverifiedInfo.Serial), nil
}

// load has so many clients ask without a pause until the server is gone or ctx ends, and returns the serial numbers
// of what they got.
func (s *recorded) load(ctx context.Context, clients int) []string {
	var mu sync.Mutex
	var all []string
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			var got []string
			for {
				serial, err := s.ask(ctx, client)
				if err != nil {
					break
				}
				got = append(got, serial)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, got...)
		})
	}
	wg.Wait()
	return all
}

// auditVerdict is what we read of "audit verify --json".
type auditVerdict struct {
	Whole    bool
	Live     bool
	Files    int
	Tokens   uint64
	Head     string
	Findings []struct{ Kind, File, Detail string }
	Notes    []struct{ Kind, Detail string }
}

// verifyAudit verifies a record and returns the exit status and the verdict.
func (w *tool) verifyAudit(t *testing.T, dir string, flags ...string) (int, auditVerdict) {
	t.Helper()
	r := w.run(t, append(auditArgs("verify", dir, "--json"), flags...)...)
	var v auditVerdict
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code > 1 || (r.code == 0) != v.Whole {
		t.Fatalf("%v: %v", err, r)
	}
	return r.code, v
}

// findAudit returns the serial numbers of all tokens in a record.
func (w *tool) findAudit(t *testing.T, dir string) map[string]bool {
	t.Helper()
	r := w.accept(t, nil, auditArgs("find", dir, "--json")...)
	serials := map[string]bool{}
	for line := range strings.Lines(r.stdout) {
		var rec struct{ Serial string }
		if err := json.Unmarshal([]byte(line), &rec); err != nil || rec.Serial == "" {
			t.Fatalf("%v: %s", err, line)
		}
		serials[rec.Serial] = true
	}
	return serials
}

// auditRounds is how often the server is killed.
const auditRounds = 10

// TestAuditCrash: however a server is killed, each timestamp that somebody got is in the record of issue, and what
// was torn is told. What is done to the record afterwards is found.
func TestAuditCrash(t *testing.T) {
	s := newRecorded(t)
	var got []string
	torn := 0
	for round := range auditRounds {
		p := s.start(t, s.base+"/readyz", ours("fencepost"), "serve", "--config", "fencepost.yaml")
		if round > 0 {
			// While the server runs: in order, with what the start mended.
			_, v := s.verifyAudit(t, "audit")
			recovered := 0
			for _, n := range v.Notes {
				if n.Kind == "recovered" {
					recovered++
				}
			}
			if !v.Whole || recovered != torn {
				t.Fatalf("round %d, started again: %d notes on what was recovered, want %d: %+v", round, recovered, torn, v)
			}
		}
		timer := time.AfterFunc(50*time.Millisecond+rand.N(450*time.Millisecond), p.kill)
		serials := s.load(t.Context(), 64)
		timer.Stop()
		<-p.ended
		if len(serials) == 0 {
			t.Fatalf("round %d: nobody got anything", round)
		}
		got = append(got, serials...)
		if round == auditRounds/2 {
			// What a kill seldom does, and a power cut often: half a line at the end.
			names := auditFiles(t, s.path("audit"))
			alter(t, names[len(names)-1], func(data []byte) []byte {
				return append(data, data[bytes.LastIndexByte(data[:len(data)-1], '\n')+1:len(data)-9]...)
			})
		}
		switch _, v := s.verifyAudit(t, "audit"); {
		case v.Whole:
		case len(v.Findings) == 1 && v.Findings[0].Kind == "torn-end":
			torn++
		default:
			t.Fatalf("round %d, killed: %+v", round, v)
		}
	}
	if torn == 0 {
		t.Error("nothing was ever torn")
	}

	p := s.start(t, s.base+"/readyz", ours("fencepost"), "serve", "--config", "fencepost.yaml")
	// Who looks while it writes as fast as it can sees nothing but what is in order.
	ctx, cancel := context.WithCancel(t.Context())
	more := make(chan []string, 1)
	go func() { more <- s.load(ctx, 64) }()
	for range 3 {
		if _, v := s.verifyAudit(t, "audit"); !v.Whole || !v.Live {
			t.Errorf("while it is written: %+v", v)
		}
		serial := got[rand.N(len(got))]
		s.accept(t, []string{serial}, auditArgs("find", "audit", "--serial", serial)...)
	}
	cancel()
	got = append(got, <-more...)

	// It ends in order, with timestamps over what it has.
	for range 3 {
		serial, err := s.ask(t.Context(), http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, serial)
		time.Sleep(1200 * time.Millisecond) // a timestamp a second
	}
	p.stop()
	t.Logf("%d timestamps, %d torn ends", len(got), torn)
	found := s.findAudit(t, "audit")
	for _, serial := range got {
		if !found[serial] {
			t.Errorf("serial number %s was issued and is not on record", serial)
		}
	}
	// As a person asks.
	for range 20 {
		serial := got[rand.N(len(got))]
		s.accept(t, []string{serial, "127.0.0.1"}, auditArgs("find", "audit", "--serial", serial)...)
	}
	s.testTampering(t)
}

// testTampering does to the record what an intruder would, and has each found.
func (s *recorded) testTampering(t *testing.T) {
	roots := []string{"--roots", s.path("tsa/root.pem")}
	_, whole := s.verifyAudit(t, "audit", roots...)
	if !whole.Whole || whole.Files < 3 || whole.Tokens == 0 {
		t.Fatalf("before: %+v", whole)
	}
	head := whole.Head
	names := auditFiles(t, s.path("audit"))
	middle := filepath.Base(names[len(names)/2])
	last := filepath.Base(names[len(names)-1])
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		flags  []string
		want   string // the kind of one finding
	}{
		{"a bit flipped", func(t *testing.T, dir string) {
			alter(t, filepath.Join(dir, middle), func(data []byte) []byte { return flip(data, len(data)/2) })
		}, nil, ""}, // what it is depends on where it is
		{"a line taken out", func(t *testing.T, dir string) {
			alterLines(t, filepath.Join(dir, middle), func(lines [][]byte) [][]byte {
				return slices.Delete(lines, len(lines)/2, len(lines)/2+1)
			})
		}, nil, "bad-number"},
		{"a file taken out", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, middle)); err != nil {
				t.Fatal(err)
			}
		}, nil, "missing-file"},
		{"the end cut off", func(t *testing.T, dir string) {
			alterLines(t, filepath.Join(dir, last), func(lines [][]byte) [][]byte { return lines[:len(lines)-2] })
		}, []string{"--head", head}, "missing-hash"},
		{"two lines swapped", func(t *testing.T, dir string) {
			alterLines(t, filepath.Join(dir, middle), func(lines [][]byte) [][]byte {
				n := len(lines) / 2
				lines[n], lines[n+1] = lines[n+1], lines[n]
				return lines
			})
		}, nil, "bad-number"},
		{"a line made anew, and every hash behind it", func(t *testing.T, dir string) {
			forgeAudit(t, dir, filepath.Join(dir, middle))
		}, roots, "bad-stamp"},
		{"the same, for who names no roots", func(t *testing.T, dir string) {
			forgeAudit(t, dir, filepath.Join(dir, middle))
		}, nil, "bad-stamp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			if err := os.CopyFS(dir, os.DirFS(s.path("audit"))); err != nil {
				t.Fatal(err)
			}
			if _, v := s.verifyAudit(t, dir, test.flags...); !v.Whole {
				t.Fatalf("the copy: %+v", v)
			}
			test.tamper(t, dir)
			code, v := s.verifyAudit(t, dir, test.flags...)
			if code != 1 || !slices.ContainsFunc(v.Findings, func(f struct{ Kind, File, Detail string }) bool {
				return test.want == "" || f.Kind == test.want
			}) {
				t.Errorf("exit status %d, want 1 and %q: %+v", code, test.want, v)
			}
		})
	}
}

// auditFiles are the files of a record, in their order.
func auditFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no record in %s: %v", dir, err)
	}
	return names
}

func alter(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, f(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func alterLines(t *testing.T, name string, f func([][]byte) [][]byte) {
	t.Helper()
	alter(t, name, func(data []byte) []byte {
		lines := bytes.SplitAfter(data, []byte("\n"))
		return bytes.Join(f(lines[:len(lines)-1]), nil)
	})
}

// auditLink is a hash in a record that an earlier one has.
var auditLink = regexp.MustCompile(`"(prev_hash|head|last_hash)":"([^"]{43})"`)

// forgeAudit alters a token in a file and computes all hashes anew, as the format of the record says: all that an
// intruder can do who has the folder, and not the key of who stamps.
func forgeAudit(t *testing.T, dir, victim string) {
	t.Helper()
	var prev [sha256.Size]byte
	anew := map[string]string{} // hashes
	altered := false
	for _, name := range auditFiles(t, dir) {
		alterLines(t, name, func(lines [][]byte) [][]byte {
			for i, line := range lines {
				body, tail, ok := strings.Cut(string(line), `,"hash":"`)
				if !ok {
					t.Fatalf("a line without a hash: %s", line)
				}
				if name == victim && !altered && strings.Contains(body, `"kind":"token"`) {
					body, altered = strings.Replace(body, `"clock_bound_ns":`, `"clock_bound_ns":1`, 1), true
				}
				body = auditLink.ReplaceAllStringFunc(body, func(s string) string {
					m := auditLink.FindStringSubmatch(s)
					if h, ok := anew[m[2]]; ok {
						return `"` + m[1] + `":"` + h + `"`
					}
					return s
				})
				prev = sha256.Sum256(append(prev[:], body...))
				hash := base64.RawURLEncoding.EncodeToString(prev[:])
				anew[tail[:43]] = hash
				lines[i] = []byte(body + `,"hash":"` + hash + `"}` + "\n")
			}
			return lines
		})
	}
	if !altered {
		t.Fatalf("no token in %s", victim)
	}
}

// TestAuditDiskFull: while nothing can be recorded nothing is issued, and it is said why; when there is room again
// the server goes on by itself. Nothing is lost.
func TestAuditDiskFull(t *testing.T) {
	s := newRecorded(t)
	if err := os.Mkdir(s.path("audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	// A disk of 400 KiB, that this server alone sees.
	p := s.start(t, s.admin+"/readyz", "unshare", "--mount", "sh", "-c",
		"mount -t tmpfs -o size=400k,mode=700 audit audit && exec "+ours("fencepost")+" serve --config fencepost.yaml")
	dir := fmt.Sprintf("/proc/%d/root%s", p.pid, s.path("audit"))
	filler := filepath.Join(dir, "filler")
	var got []string
	grant := func() error {
		serial, err := s.ask(t.Context(), http.DefaultClient)
		if err == nil {
			got = append(got, serial)
		}
		return err
	}
	for round := range 3 {
		for range 10 {
			if err := grant(); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
		// The last page may have room for some more.
		var err error
		for i := 0; err == nil && i < 1000; i++ {
			err = grant()
		}
		if !errors.Is(err, tsp.SystemFailure) {
			t.Fatalf("round %d: on a full disk: %v, want systemFailure", round, err)
		}
		status, body := fetch(t, s.admin+"/readyz")
		var why struct{ Reason, Detail string }
		if err := json.Unmarshal(body, &why); err != nil || status != http.StatusServiceUnavailable || why.Reason != "systemFailure" ||
			!strings.Contains(why.Detail, "record of issue") || !strings.Contains(why.Detail, "no space left on device") {
			t.Errorf("round %d: readiness: %d %s", round, status, body)
		}
		if status, body := fetch(t, s.base+"/readyz"); status != http.StatusServiceUnavailable || string(body) != "not ready\n" {
			t.Errorf("round %d: what the public is told: %d %s", round, status, body)
		}
		if err := grant(); !errors.Is(err, tsp.SystemFailure) {
			t.Fatalf("round %d: still full: %v, want systemFailure", round, err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(startTimeout); ; time.Sleep(50 * time.Millisecond) {
			status, body := fetch(t, s.admin+"/readyz")
			if status == http.StatusOK {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: there is room again: %d %s", round, status, body)
			}
		}
		if err := grant(); err != nil {
			t.Fatalf("round %d: there is room again: %v", round, err)
		}
	}
	for _, text := range []string{"record of issue cannot be written, nothing is issued", "record of issue is written again"} {
		if !strings.Contains(p.log.String(), text) {
			t.Errorf("the log does not say %q", text)
		}
	}
	code, v := s.verifyAudit(t, dir)
	if code != 0 || v.Files < 4 || !slices.ContainsFunc(v.Notes, func(n struct{ Kind, Detail string }) bool {
		return n.Kind == "recovered" && strings.Contains(n.Detail, "no space left on device")
	}) {
		t.Errorf("the record afterwards: %+v", v)
	}
	found := s.findAudit(t, dir)
	for _, serial := range got {
		if !found[serial] {
			t.Errorf("serial number %s was issued and is not on record", serial)
		}
	}
}

// fetch gets a page, whatever its status.
func fetch(t *testing.T, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}
