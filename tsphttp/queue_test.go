package tsphttp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// slowly is a Responder that takes so long, and counts.
func slowly(takes *atomic.Int64, asked *atomic.Int64) Responder {
	return responder(func(ctx context.Context, _ []byte) ([]byte, tsp.Outcome) {
		asked.Add(1)
		time.Sleep(time.Duration(takes.Load()))
		return cannedReply, tsp.Outcome{Token: cannedReply}
	})
}

// TestHandlerOverload asks twice as much as can be answered, for a minute: the
// queue is as long as the time allows, whatever its number.
func TestHandlerOverload(t *testing.T) {
	for _, tt := range []struct {
		name          string
		takes         time.Duration
		slots, queue  int
		maxWait       time.Duration
		longest       time.Duration // that an answer takes
		served        float64       // of what can be, at least
		mustNotRefuse bool
	}{
		{name: "the default", takes: 100 * time.Millisecond, slots: 4, longest: time.Second + 200*time.Millisecond, served: 0.98},
		{name: "slow answers", takes: 3 * time.Second, slots: 4, longest: 6 * time.Second, served: 0.9},
		{name: "slower than the wait allows", takes: 3 * time.Second, slots: 1, longest: 6 * time.Second, served: 0.9},
		{name: "a short queue", takes: 100 * time.Millisecond, slots: 4, queue: 2, longest: 200 * time.Millisecond, served: 0.98},
		{name: "200 ms", takes: 50 * time.Millisecond, slots: 4, maxWait: 200 * time.Millisecond, longest: 300 * time.Millisecond, served: 0.98},
		{name: "for ever", takes: 100 * time.Millisecond, slots: 4, maxWait: -1, queue: 100_000, longest: 61 * time.Second, served: 0.98, mustNotRefuse: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const duration = time.Minute
				var takes, asked, granted, refused atomic.Int64
				var mu sync.Mutex
				var longest, longestRefusal time.Duration
				takes.Store(int64(tt.takes))
				h := newHandler(t, HandlerConfig{Responder: slowly(&takes, &asked), MaxConcurrent: tt.slots, MaxQueue: tt.queue, MaxWait: tt.maxWait})
				query := requestDER(t)
				capacity := float64(tt.slots) * float64(duration) / float64(tt.takes)
				var clients sync.WaitGroup
				for range int(2 * capacity) {
					clients.Go(func() {
						start := time.Now()
						w := serve(h, post(query, "Content-Type: application/timestamp-query"))
						took := time.Since(start)
						mu.Lock()
						defer mu.Unlock()
						if w.Code == http.StatusOK {
							granted.Add(1)
							longest = max(longest, took)
						} else {
							refused.Add(1)
							longestRefusal = max(longestRefusal, took)
						}
					})
					time.Sleep(tt.takes / time.Duration(2*tt.slots))
				}
				clients.Wait()
				if longest > tt.longest || longestRefusal > 0 {
					t.Errorf("an answer took %v, want at most %v; a refusal took %v", longest, tt.longest, longestRefusal)
				}
				if got := float64(granted.Load()) / capacity; got < tt.served {
					t.Errorf("%d answers of %.0f possible ones", granted.Load(), capacity)
				}
				if tt.mustNotRefuse != (refused.Load() == 0) {
					t.Errorf("%d refused", refused.Load())
				}
			})
		})
	}
}

// TestHandlerGone has clients leave the queue: nothing is signed for them, and
// the wait is that of those who stay.
func TestHandlerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes, asked atomic.Int64
		takes.Store(int64(100 * time.Millisecond))
		h := newHandler(t, HandlerConfig{Responder: slowly(&takes, &asked), MaxConcurrent: 1})
		query := requestDER(t)
		ctx, hangUp := context.WithCancel(t.Context())
		answers := make(chan *httptest.ResponseRecorder, 10)
		ask := func(ctx context.Context) {
			go func() { answers <- serve(h, post(query, "Content-Type: application/timestamp-query").WithContext(ctx)) }()
			synctest.Wait()
		}
		ask(t.Context())
		for range 8 {
			ask(ctx)
		}
		ask(t.Context())
		hangUp()
		start := time.Now()
		for range 8 {
			if w := <-answers; w.Code != statusClientGone {
				t.Errorf("status %d, want %d", w.Code, statusClientGone)
			}
		}
		for range 2 {
			if w := <-answers; w.Code != http.StatusOK {
				t.Errorf("status %d, want 200", w.Code)
			}
		}
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("the two that stayed took %v", took)
		}
		if asked.Load() != 2 {
			t.Errorf("%d were signed for", asked.Load())
		}
	})
}

// TestHandlerRetryAfter: the longer the server has been full, the longer
// clients are told to stay away, and not all equally long; after that it is as
// before. That others took long once is forgotten.
func TestHandlerRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes, asked atomic.Int64
		takes.Store(int64(20 * time.Second))
		h := newHandler(t, HandlerConfig{Responder: slowly(&takes, &asked), MaxConcurrent: 1, MaxQueue: 1})
		query := requestDER(t)
		answers := make(chan *httptest.ResponseRecorder, 10)
		fill := func() {
			for range 2 {
				go func() { answers <- serve(h, post(query, "Content-Type: application/timestamp-query")) }()
				synctest.Wait()
			}
		}
		// told returns the least and the greatest of what a crowd is told.
		told := func() (least, most int) {
			least = maxRetry + 1
			for range 200 {
				w := serve(h, post(query, "Content-Type: application/timestamp-query"))
				seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
				if w.Code != http.StatusServiceUnavailable || err != nil {
					t.Fatalf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
				}
				least, most = min(least, seconds), max(most, seconds)
			}
			return least, most
		}
		check := func(when string, wantLeast, wantMost int) {
			t.Helper()
			if least, most := told(); least != wantLeast || most != wantMost {
				t.Errorf("%s: told to wait %d to %d s, want %d to %d", when, least, most, wantLeast, wantMost)
			}
		}
		fill()
		check("at first", 1, 2)
		time.Sleep(7500 * time.Millisecond)
		check("after 7.5 s", 8, 13)
		time.Sleep(10 * time.Second)
		check("after 17.5 s", 18, 28)
		takes.Store(0)
		<-answers
		<-answers
		// One that finds a free slot, and others that are quick.
		for range 30 {
			serve(h, post(query, "Content-Type: application/timestamp-query"))
		}
		takes.Store(int64(time.Second))
		fill()
		check("another time", 1, 2)
		time.Sleep(time.Hour)
	})
}
