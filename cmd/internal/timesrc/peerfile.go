package timesrc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// What a file may leave out, in which the peer would ask in an endless loop:
// its own defaults stand in.
const (
	defaultPeerAttempts = 3
	defaultPeerPeriod   = 60 * time.Second
)

// Limits of a peer's file. What is above them is a slip, or would be a wait
// that nobody lives to see the end of.
const (
	maxPeerFile     = 64 << 10
	maxPeerServers  = 1000
	maxPeerAttempts = 100
	maxPeerSeconds  = 24 * 60 * 60
)

// A PeerFile is the file that timestamp-server of sigstore/timestamp-authority
// takes with --ntp-monitoring. The zero PeerFile is none that it would take.
type PeerFile struct {
	RequestAttempts int           // how often a server is asked before it counts as silent
	RequestTimeout  time.Duration // how long each answer may take
	NumServers      int           // how many are asked in each round, chosen at random
	ServerThreshold int           // how many of those must agree
	MaxTimeDelta    time.Duration // how far the clock may be off
	Period          time.Duration // from one round to the next
	Servers         []string      // names or addresses, with a port or without
}

// DefaultPeerFile is what the peer uses when it is given no file.
func DefaultPeerFile() PeerFile {
	return PeerFile{
		RequestAttempts: defaultPeerAttempts,
		RequestTimeout:  5 * time.Second,
		NumServers:      4,
		ServerThreshold: 3,
		MaxTimeDelta:    6 * time.Second,
		Period:          defaultPeerPeriod,
		Servers: []string{
			"time.apple.com",
			"time.google.com", "time1.google.com", "time2.google.com", "time3.google.com", "time4.google.com",
			"time-a-b.nist.gov", "time-b-b.nist.gov", "time-c-b.nist.gov", "time-d-b.nist.gov",
			"gbg1.ntp.se", "gbg2.ntp.se", "mmo1.ntp.se", "mmo2.ntp.se", "sth1.ntp.se", "sth2.ntp.se", "svl1.ntp.se", "svl2.ntp.se",
			"ntp1.net.berkeley.edu", "ntp2.net.berkeley.edu",
			"time.cloudflare.com", "time.windows.com", "time.aws.com",
		},
	}
}

// ReadPeerFile reads a peer's file. Unknown and repeated keys are errors, and
// so is all that the peer refuses at its start. Where the peer would go on
// asking without a pause (period) or without an end (request_attempts), because
// a key is left out or zero, its default is taken.
func ReadPeerFile(data []byte) (PeerFile, error) {
	if len(data) > maxPeerFile {
		return PeerFile{}, fmt.Errorf("NTP configuration: more than %d octets", maxPeerFile)
	}
	var file struct {
		RequestAttempts wholeNumber `yaml:"request_attempts"`
		RequestTimeout  wholeNumber `yaml:"request_timeout"`
		NumServers      wholeNumber `yaml:"num_servers"`
		MaxTimeDelta    wholeNumber `yaml:"max_time_delta"`
		ServerThreshold wholeNumber `yaml:"server_threshold"`
		Period          wholeNumber `yaml:"period"`
		Servers         []string    `yaml:"servers"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	switch err := dec.Decode(&file); {
	case errors.Is(err, io.EOF):
		return PeerFile{}, errors.New("NTP configuration: the file is empty")
	case err != nil:
		return PeerFile{}, fmt.Errorf("NTP configuration: %w", err)
	}
	// Decode reads one document; what follows it would be ignored.
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return PeerFile{}, errors.New("NTP configuration: there is more than one document in the file")
	}
	for _, field := range []struct {
		key              string
		value, most      int
		zeroMeansDefault bool
	}{
		{"request_attempts", int(file.RequestAttempts), maxPeerAttempts, true},
		{"request_timeout", int(file.RequestTimeout), maxPeerSeconds, false},
		{"num_servers", int(file.NumServers), maxPeerServers, false},
		{"server_threshold", int(file.ServerThreshold), maxPeerServers, false},
		{"max_time_delta", int(file.MaxTimeDelta), maxPeerSeconds, false},
		{"period", int(file.Period), maxPeerSeconds, true},
	} {
		if field.value < 0 || field.value > field.most || field.value == 0 && !field.zeroMeansDefault {
			return PeerFile{}, fmt.Errorf("NTP configuration: %s is %d, not between 1 and %d", field.key, field.value, field.most)
		}
	}
	f := PeerFile{
		RequestAttempts: int(file.RequestAttempts),
		RequestTimeout:  time.Duration(file.RequestTimeout) * time.Second,
		NumServers:      int(file.NumServers),
		ServerThreshold: int(file.ServerThreshold),
		MaxTimeDelta:    time.Duration(file.MaxTimeDelta) * time.Second,
		Period:          time.Duration(file.Period) * time.Second,
		Servers:         file.Servers,
	}
	if f.RequestAttempts == 0 {
		f.RequestAttempts = defaultPeerAttempts
	}
	if f.Period == 0 {
		f.Period = defaultPeerPeriod
	}
	if err := f.check(); err != nil {
		return PeerFile{}, fmt.Errorf("NTP configuration: %w", err)
	}
	return f, nil
}

// A wholeNumber is an int that 0.5 is not taken for: package yaml would cut it
// down to 0.
type wholeNumber int

// UnmarshalYAML reads a number without a fraction.
func (n *wholeNumber) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" {
		return fmt.Errorf("line %d: %.100q is no whole number", node.Line, node.Value)
	}
	return node.Decode((*int)(n))
}

func (f PeerFile) check() error {
	switch {
	case len(f.Servers) < f.NumServers:
		return fmt.Errorf("servers: there are %d, and num_servers is %d", len(f.Servers), f.NumServers)
	case len(f.Servers) > maxPeerServers:
		return fmt.Errorf("servers: there are %d, more than %d", len(f.Servers), maxPeerServers)
	case f.ServerThreshold > f.NumServers:
		return fmt.Errorf("server_threshold is %d, and num_servers is %d", f.ServerThreshold, f.NumServers)
	case f.MaxTimeDelta < f.RequestTimeout:
		return fmt.Errorf("max_time_delta, %v, is less than request_timeout, %v", f.MaxTimeDelta, f.RequestTimeout)
	}
	var seen []*Host
	for _, server := range f.Servers {
		host, err := NewHost(server, NTPPort, nil)
		if err != nil {
			return fmt.Errorf("servers: %w", err)
		}
		if slices.ContainsFunc(seen, host.Same) {
			return fmt.Errorf("servers: %.300q is there twice, and would have two votes", server)
		}
		seen = append(seen, host)
	}
	return nil
}
