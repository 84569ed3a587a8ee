package clock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// A clock that is always 20 ms ahead of true time, as two of three servers see
// it. The third is wrong, or lies.
func ExampleMonitor() {
	server := func(name string, offset time.Duration) clock.Reference {
		return reference{name, func(context.Context) (clock.Measurement, error) {
			now := clock.Instant{Wall: noon, Elapsed: time.Hour}
			return clock.Measurement{Start: now, End: now, Offset: offset, Error: 5 * time.Millisecond}, nil
		}}
	}
	monitor, err := clock.NewMonitor(clock.MonitorConfig{
		Local: still{}, // nil in a program
		References: []clock.Reference{
			server("a.example", -20*time.Millisecond),
			server("b.example", -21*time.Millisecond),
			server("c.example", 3*time.Hour),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := monitor.Poll(ctx); err != nil { // a program has Run go on with it
		fmt.Println(err)
		return
	}
	reading, err := monitor.Now(ctx)
	fmt.Println(reading.Time.Format(time.TimeOnly), reading.Bound, reading.State, err)
	for _, r := range monitor.Status().References {
		fmt.Println(r.Name, r.Agrees)
	}
	// Output:
	// 12:00:00 25ms synchronised <nil>
	// a.example true
	// b.example true
	// c.example false
}

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
