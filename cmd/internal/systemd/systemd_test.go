package systemd_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
)

// variables is an environment of these and no others.
func variables(vars map[string]string) systemd.Env {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

func TestWatchdogInterval(t *testing.T) {
	self, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())
	for _, test := range []struct {
		name string
		vars map[string]string
		want time.Duration
		ok   bool
	}{
		{"none", nil, 0, true},
		{"empty", map[string]string{"WATCHDOG_USEC": ""}, 0, true},
		{"for anybody", map[string]string{"WATCHDOG_USEC": "30000000"}, 30 * time.Second, true},
		{"for this process", map[string]string{"WATCHDOG_USEC": "1500", "WATCHDOG_PID": self}, 1500 * time.Microsecond, true},
		{"for the parent", map[string]string{"WATCHDOG_USEC": "1500", "WATCHDOG_PID": other}, 0, true},
		{"zero", map[string]string{"WATCHDOG_USEC": "0"}, 0, false},
		{"negative", map[string]string{"WATCHDOG_USEC": "-1"}, 0, false},
		{"not a number", map[string]string{"WATCHDOG_USEC": "30s"}, 0, false},
		{"overflow", map[string]string{"WATCHDOG_USEC": "9223372036854775807"}, 0, false},
		{"bad process", map[string]string{"WATCHDOG_USEC": "1500", "WATCHDOG_PID": "me"}, 0, false},
	} {
		got, err := systemd.WatchdogInterval(variables(test.vars))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
	}
	if got, err := systemd.WatchdogInterval(nil); got != 0 || err != nil {
		t.Errorf("no environment: %v, %v", got, err)
	}
}
