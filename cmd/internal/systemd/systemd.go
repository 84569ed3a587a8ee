// Package systemd is how a service and its manager speak to each other: sockets
// that systemd opened (sd_listen_fds(3)), what the service says of itself
// (sd_notify(3)), and the watchdog that restarts a service which has stopped
// answering (sd_watchdog_enabled(3)).
//
//	sockets, err := systemd.Sockets(env)    // nil without socket activation
//	notifier, err := systemd.NewNotifier(env) // nil where nobody listens
//	notifier.Ready("listening on ...")      // a nil Notifier says nothing
//	every, err := systemd.WatchdogInterval(env)
//	notifier.Watch(ctx, systemd.Watch{Every: every, Check: answers})
//
// The environment is handed in, since only main reads it. Without the variables
// of systemd all this does nothing, on every operating system. A variable that
// is there and makes no sense is an error that names it: a service that is meant
// to be watched and is not should not look as if it were.
package systemd

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// An Env looks up an environment variable, as os.LookupEnv does.
type Env func(name string) (value string, ok bool)

// get returns a variable, "" if it is not set.
func (e Env) get(name string) string {
	if e == nil {
		return ""
	}
	value, _ := e(name)
	return value
}

// meant says whether the variable name, which holds the identifier of a process,
// names this one. Children inherit variables that were meant for their parent.
func (e Env) meant(name string) (bool, error) {
	pid, err := strconv.Atoi(e.get(name))
	if err != nil || pid <= 0 {
		return false, fmt.Errorf("systemd: %s is %q, which is no process", name, e.get(name))
	}
	return pid == os.Getpid(), nil
}

// WatchdogInterval returns how often the manager wants to hear that this
// service is well before it restarts it (WatchdogSec= of the unit), 0 for never.
func WatchdogInterval(env Env) (time.Duration, error) {
	text := env.get("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	usec, err := strconv.ParseUint(text, 10, 63)
	if err != nil || usec == 0 || usec > uint64(maxWatchdog/time.Microsecond) {
		return 0, fmt.Errorf("systemd: WATCHDOG_USEC is %q, which is no time in microseconds", text)
	}
	if env.get("WATCHDOG_PID") != "" {
		if ours, err := env.meant("WATCHDOG_PID"); err != nil || !ours {
			return 0, err
		}
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// maxWatchdog keeps a time in microseconds from overflowing one in nanoseconds.
const maxWatchdog = 365 * 24 * time.Hour
