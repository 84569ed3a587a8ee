package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Clock is how the monitor of the clock sees it at one moment.
type Clock struct {
	// Known says that enough servers agree. Without it Offset means nothing.
	Known bool
	// Offset is true time minus this machine's clock.
	Offset time.Duration
	// Drift is the rate at which this machine's clock gains on true time: 1e-6
	// is one second in eleven days. Negative: it loses. DriftError is the most
	// that this can be wrong by; zero: it is not known.
	Drift, DriftError float64
	// Servers are those that are configured. The first 64 are shown.
	Servers []TimeServer
}

// A TimeServer is one server that the clock is compared with.
type TimeServer struct {
	Name string // as configured
	// Up says that it answered when it was last asked, Agrees that it is one of
	// those by which the clock goes.
	Up, Agrees bool
	// Measured says that it has answered at all. Without it Offset, Error and
	// Age mean nothing.
	Measured bool
	// Offset is its time minus this machine's clock, Error the most that this
	// can be wrong by, and Age how long ago that was.
	Offset, Error, Age time.Duration
}

// maxDriftError is how well a drift has to be known to be shown. What two rounds
// right behind each other say of it is noise, and looks like a broken clock.
const maxDriftError = 100e-6

// clockDescs describe a Clock.
type clockDescs struct{ offset, drift, accuracy, up, agrees, serverOffset, serverError, age *prometheus.Desc }

func newClockDescs() clockDescs {
	return clockDescs{
		offset:       desc("fencepost_clock_offset_seconds", "True time minus this machine's clock, by the servers that agree; absent while too few do."),
		drift:        desc("fencepost_clock_drift_ratio", "Seconds that this machine's clock gains in a second of true time; absent while it is not known to 100 millionths."),
		accuracy:     desc("fencepost_clock_declared_accuracy_seconds", "What each token promises; while the clock's error is greater, none is issued."),
		up:           desc("fencepost_clock_server_up", "1 if the time server answered when it was last asked, else 0.", "server"),
		agrees:       desc("fencepost_clock_server_agrees", "1 if the time server is one of those by which the clock goes, else 0.", "server"),
		serverOffset: desc("fencepost_clock_server_offset_seconds", "Time of the server minus this machine's clock, as last measured.", "server"),
		serverError:  desc("fencepost_clock_server_error_seconds", "Greatest error of that offset when it was measured.", "server"),
		age:          desc("fencepost_clock_server_age_seconds", "Time since the server last answered.", "server"),
	}
}

func (d *clockDescs) describe() []*prometheus.Desc {
	return []*prometheus.Desc{d.offset, d.drift, d.accuracy, d.up, d.agrees, d.serverOffset, d.serverError, d.age}
}

// collect sends what a monitor says.
func (d *clockDescs) collect(out sink, c *Clock) {
	if c.Known {
		out.gauge(d.offset, c.Offset.Seconds())
	}
	if c.DriftError > 0 && c.DriftError <= maxDriftError {
		out.gauge(d.drift, c.Drift)
	}
	seen := make(map[string]bool)
	for _, s := range c.Servers {
		name := labelText(s.Name)
		if seen[name] || len(seen) == maxServers {
			continue // a series that is there twice would spoil all of them
		}
		seen[name] = true
		out.gauge(d.up, truth(s.Up), name)
		out.gauge(d.agrees, truth(s.Agrees), name)
		if s.Measured {
			out.gauge(d.serverOffset, s.Offset.Seconds(), name)
			out.gauge(d.serverError, s.Error.Seconds(), name)
			out.gauge(d.age, s.Age.Seconds(), name)
		}
	}
}
