package clock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

func ExampleGuard() {
	// A clock whose error has grown beyond what the tokens promise.
	noon := time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	source := clock.Fixed(noon, 3*time.Second)

	guard, err := clock.NewGuard(clock.GuardConfig{Source: source, Limit: time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = guard.Now(context.Background())
	fmt.Println(errors.Is(err, clock.ErrUnknown))
	fmt.Println(err)
	// Output:
	// true
	// clock: error bound 3s is above the limit 1s
}
