package config

import (
	"net/url"
)

// Traces is the section "traces": where OpenTelemetry spans are sent.
type Traces struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP, such as
	// http://127.0.0.1:4318. Required.
	Endpoint string `yaml:"endpoint"`
	// Sample is which part of the requests is traced, from 0 to 1. The default
	// is 0.01.
	Sample *float64 `yaml:"sample"`
	// TrustParent lets clients say, in the header traceparent, that a request is
	// to be traced and to which trace it belongs. The default is false:
	// strangers could have everything traced.
	TrustParent bool `yaml:"trust-parent"`
	// Headers is a file with headers to be sent to the collector, one "Name:
	// value" a line: it may hold a secret.
	Headers Path `yaml:"headers"`
}

// defaultSample keeps the cost of tracing out of sight.
const defaultSample = 0.01

// Part is Sample or what stands for it.
func (t *Traces) Part() float64 {
	if t.Sample == nil {
		return defaultSample
	}
	return *t.Sample
}

func (k *checker) traces(t *Traces) {
	u, err := url.Parse(t.Endpoint)
	switch {
	case t.Endpoint == "":
		k.add("traces.endpoint", "required: the URL of a collector such as http://127.0.0.1:4318")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		k.add("traces.endpoint", "not a URL such as http://127.0.0.1:4318")
	case u.User != nil:
		k.add("traces.endpoint", "a user and a password are secrets; put them into the file that traces.headers names")
	}
	if p := t.Part(); !(p >= 0 && p <= 1) { // nor not a number
		k.add("traces.sample", "%v is not between 0 and 1", p)
	}
}
