package config

import (
	"runtime"
	"time"
)

// What is assumed of a clock that is compared with time servers; see [Clock].
const (
	defaultInterval = 64 * time.Second // what RFC 5905, 7.2 begins with
	minInterval     = time.Second      // of a server of one's own; others have stricter rules
	defaultTimeout  = 5 * time.Second
	defaultMaxAge   = time.Hour
	// maxMaxAge is a day: in it each server must have been asked (CA/Browser
	// Forum, Code Signing Baseline Requirements, 6.8).
	maxMaxAge = 24 * time.Hour
	// maxDrift is more than any clock has; a virtual machine may come near.
	maxDrift = 1000

	// maxServers is far more than are of any use: each is asked in each round.
	maxServers = 32

	// maxAttempts is more than a server that has not answered will bear.
	defaultAttempts = 2
	maxAttempts     = 10
)

// Complete fills in the defaults.
func (c *Clock) Complete() {
	if c.Source != ClockNTP {
		return
	}
	if c.Interval == 0 {
		c.Interval = Duration(defaultInterval)
	}
	if c.Timeout == 0 {
		c.Timeout = min(Duration(defaultTimeout), c.Interval)
	}
	if c.MaxAge == 0 {
		c.MaxAge = max(Duration(defaultMaxAge), 8*c.Interval)
	}
	if c.Attempts == 0 {
		c.Attempts = defaultAttempts
	}
}

func (k *checker) clock(c *Clock) {
	add := func(key, format string, args ...any) { k.add("tsa.clock."+key, format, args...) }
	switch c.Source {
	case ClockSystem:
		if c.Bound == 0 {
			add("bound", "required: the greatest error of the system clock")
		}
	case ClockKernel:
		if runtime.GOOS != "linux" {
			add("source", "the kernel of %s does not tell how good its clock is", runtime.GOOS)
		}
	case ClockNTP:
		k.servers(c)
		return
	default:
		add("source", "required: ntp, kernel or system")
		return
	}
	for _, s := range []struct {
		key string
		set bool
	}{{"servers", c.Servers != nil}, {"agree", c.Agree != 0}, {"interval", c.Interval != 0}, {"timeout", c.Timeout != 0},
		{"ask", c.Ask != 0}, {"attempts", c.Attempts != 0}, {"max-age", c.MaxAge != 0}, {"drift", c.Drift != 0}, {"ca", c.CA != ""}} {
		if s.set {
			add(s.key, "is for source ntp, and the source is %s", c.Source)
		}
	}
}

// servers checks what is for source ntp.
func (k *checker) servers(c *Clock) {
	add := func(key, format string, args ...any) { k.add("tsa.clock."+key, format, args...) }
	if c.Bound != 0 {
		add("bound", "is for the sources system and kernel; ntp measures it")
	}
	seen, authenticated := map[string]bool{}, false
	for _, s := range c.Servers {
		authenticated = authenticated || s.NTS
		if seen[s.Address] {
			add("servers", "%s is there twice, and has one vote", s.Address)
		}
		seen[s.Address] = true
	}
	n := len(c.Servers)
	switch {
	case n == 0:
		add("servers", "required for source ntp: three time servers or more, such as nts://time.example")
	case n > maxServers:
		add("servers", "%d are more than %d", n, maxServers)
	}
	if n > 0 && (c.Ask < 0 || c.Ask > n) {
		add("ask", "%d of %d: it must be one server at least, and not more than there are", c.Ask, n)
	}
	if n > 0 && c.Agree != 0 && (c.Agree <= n/2 || c.Agree > n) {
		add("agree", "%d of %d: it must be more than half of the servers, and not more than there are", c.Agree, n)
	}
	if c.Attempts < 0 || c.Attempts > maxAttempts {
		add("attempts", "%d is not between 1 and %d", c.Attempts, maxAttempts)
	}
	if c.CA != "" && !authenticated {
		add("ca", "is for servers with nts, and there is none")
	}
	interval, maxAge := time.Duration(c.Interval), time.Duration(c.MaxAge)
	switch {
	case interval < minInterval:
		add("interval", "%v is less than %v", interval, minInterval)
	case interval > maxMaxAge:
		add("interval", "%v is more than %v", interval, maxMaxAge)
	case c.Timeout > c.Interval:
		add("timeout", "%v is more than tsa.clock.interval, %v", time.Duration(c.Timeout), interval)
	case maxAge < interval || maxAge > maxMaxAge:
		add("max-age", "%v is not between tsa.clock.interval, %v, and %v", maxAge, interval, maxMaxAge)
	}
	if !(c.Drift >= 0 && c.Drift <= maxDrift) { // nor not a number
		add("drift", "%v is not between 0 and %v millionths", c.Drift, maxDrift)
	}
}
