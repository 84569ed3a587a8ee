package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// envLoad is how long each load lasts that is put on a server, such as 10m. Without it the tests are short enough
// for every day.
const envLoad = "FENCEPOST_LOAD"

// loadTime is how long a load lasts that is short by default.
func loadTime(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(envLoad)
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < short {
		t.Fatalf("%s is %q, and not a duration of %v or more", envLoad, text, short)
	}
	return d
}

// A load asks an authority for timestamps and judges every answer. Each request is for a digest and with a nonce of
// its own.
type load struct {
	url    string
	client *http.Client
	policy verify.Policy
	rest   time.Duration // between two requests of a closed load
	asked  atomic.Uint64
}

// newLoad prepares a load. A client waits so long for an answer; 0 is for ever.
func newLoad(t *testing.T, a *tsa, patience time.Duration) *load {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &load{
		url: a.url, client: &http.Client{Transport: transport, Timeout: patience},
		policy: verify.Policy{Roots: a.certificates[len(a.certificates)-1:], Cache: new(verify.ChainCache)},
	}
}

// What became of a request.
type fate int

const (
	granted    fate = iota
	turnedAway      // 503 with Retry-After
	gaveUp          // the client did not wait any longer
	failed          // anything else
)

// A shot is one request and its answer.
type shot struct {
	due    time.Time     // when it had to be sent
	took   time.Duration // from then to the end of the answer
	fate   fate
	err    error // why it failed
	serial string
	retry  int // Retry-After, in seconds
}

// shoot makes one request that is due at a time.
func (l *load) shoot(ctx context.Context, due time.Time) shot {
	s := shot{due: due}
	s.err = l.ask(ctx, &s)
	s.took = time.Since(due)
	var timeout interface{ Timeout() bool }
	switch {
	case s.fate == turnedAway:
	case s.err == nil:
		s.fate = granted
	case errors.As(s.err, &timeout) && timeout.Timeout():
		s.fate = gaveUp
	default:
		s.fate = failed
	}
	return s
}

func (l *load) ask(ctx context.Context, s *shot) error {
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], l.asked.Add(1))
	digest := sha256.Sum256(data[:])
	imprint, err := tsp.NewImprint(crypto.SHA256, digest[:])
	if err != nil {
		return err
	}
	query := tsp.NewRequest(imprint)
	body, err := query.Marshal()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		if s.retry, err = strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s.retry > 0 && resp.StatusCode == http.StatusServiceUnavailable {
			s.fate = turnedAway
		}
		return fmt.Errorf("%s, Retry-After %q: %s", resp.Status, resp.Header.Get("Retry-After"), body)
	}
	reply, err := tsp.ParseResponse(body)
	if err != nil {
		return err
	}
	if reply.Rejection != nil {
		return reply.Rejection
	}
	stamp, err := l.policy.Response(reply, query)
	if err != nil {
		return err
	}
	s.serial = stamp.Serial.Hex()
	return nil
}

// open puts a constant rate of requests on the server, whatever becomes of those before: each is sent when it is due,
// and its time counts from then. So a server that is slow for a while is not asked less meanwhile.
func (l *load) open(ctx context.Context, rate float64, d time.Duration) salvo {
	shots := make([]shot, int(rate*d.Seconds()))
	var all sync.WaitGroup
	start := time.Now()
	for i := range shots {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		all.Go(func() { shots[i] = l.shoot(ctx, due) })
	}
	all.Wait()
	return salvo{start: start, took: d, shots: shots}
}

// closed has so many clients ask, each as soon as it has its answer.
func (l *load) closed(ctx context.Context, clients int, d time.Duration) salvo {
	lists := make([][]shot, clients)
	var all sync.WaitGroup
	start := time.Now()
	for i := range lists {
		all.Go(func() {
			for now := time.Now(); now.Sub(start) < d && ctx.Err() == nil; now = time.Now() {
				lists[i] = append(lists[i], l.shoot(ctx, now))
				time.Sleep(l.rest)
			}
		})
	}
	all.Wait()
	return salvo{start: start, took: d, shots: slices.Concat(lists...)}
}

// A salvo is the requests of some time.
type salvo struct {
	start time.Time
	took  time.Duration
	shots []shot
}

// goodput is how many requests were granted for each second in which requests were made. Those answered
// later do not count: they were not done in that time.
func (s salvo) goodput() float64 {
	n := 0
	for _, x := range s.shots {
		if x.fate == granted && x.due.Add(x.took).Sub(s.start) <= s.took {
			n++
		}
	}
	return float64(n) / s.took.Seconds()
}

// count is how many had a fate.
func (s salvo) count(f fate) (n int) {
	for _, x := range s.shots {
		if x.fate == f {
			n++
		}
	}
	return n
}

// quantile is that of the time that the requests of one fate took; 0 if there are none.
func (s salvo) quantile(f fate, q float64) time.Duration {
	var times []time.Duration
	for _, x := range s.shots {
		if x.fate == f {
			times = append(times, x.took)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func (s salvo) String() string {
	const grain = 100 * time.Microsecond
	return fmt.Sprintf("%.0f granted/s, median %v, p99 %v; %d refused, median %v, p99 %v; %d gave up, %d failed", s.goodput(),
		s.quantile(granted, 0.5).Round(grain), s.quantile(granted, 0.99).Round(grain),
		s.count(turnedAway), s.quantile(turnedAway, 0.5).Round(grain), s.quantile(turnedAway, 0.99).Round(grain), s.count(gaveUp), s.count(failed))
}

// complain fails the test for each request that failed, and for a serial number that was there before.
func (s salvo) complain(t *testing.T, serials map[string]bool) {
	t.Helper()
	const enough = 5
	wrong := 0
	for _, x := range s.shots {
		if x.fate == failed {
			if wrong++; wrong <= enough {
				t.Errorf("a request failed after %v: %v", x.took, x.err)
			}
		}
		if x.fate == granted {
			if serials[x.serial] {
				t.Errorf("the serial number %s is there twice", x.serial)
			}
			serials[x.serial] = true
		}
	}
	if wrong > enough {
		t.Errorf("%d requests failed in all", wrong)
	}
}

// A footprint is what a process takes of the machine.
type footprint struct {
	memory      int // that is no file's, in KiB
	descriptors int
}

func footprintOf(t *testing.T, pid int) footprint {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	var f footprint
	_, rest, _ := strings.Cut(string(status), "\nRssAnon:")
	if _, err := fmt.Sscan(rest, &f.memory); err != nil {
		t.Fatalf("RssAnon of %d: %v", pid, err)
	}
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	f.descriptors = len(files)
	return f
}
