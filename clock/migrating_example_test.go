package clock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// Where ntpmonitor of sigstore/timestamp-authority counts in the background how
// often the clock was wrong, a Guard is asked before each token, and its error
// is a token that is not issued. What it asks is a Source: a program's own,
// which compares the clock with others, is a function.
func ExampleSourceFunc_ntpmonitor() {
	offset := 0 * time.Second // as measured by whoever compares clocks
	source := clock.SourceFunc(func(context.Context) (clock.Reading, error) {
		return clock.Reading{Time: time.Now().UTC().Round(0), Bound: offset + 10*time.Millisecond, State: clock.StateSynchronised}, nil
	})
	guard, err := clock.NewGuard(clock.GuardConfig{Source: source, Limit: time.Second}) // max_time_delta
	if err != nil {
		log.Fatal(err)
	}
	for _, offset = range []time.Duration{0, 6 * time.Second} {
		_, err := guard.Now(context.Background())
		var refused *clock.GuardError
		if errors.As(err, &refused) {
			fmt.Println("no token:", refused.Reason) // ErrInvTime
		} else {
			fmt.Println("a token")
		}
	}
	// Output:
	// a token
	// no token: bound
}
