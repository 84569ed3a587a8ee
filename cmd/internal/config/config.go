// Package config is the one place for the configuration of the server: one
// strict YAML file, one struct, whose field comments are the manual.
//
// Strict means that whatever the file says and this program does not know is
// an error that names the line: an unknown key, a key that is there twice, a
// second document, a number without its unit. A setting on which trust depends
// has no default; without it the program does not start.
//
//	listen: ["127.0.0.1:3000"]
//	tsa:
//	  key: file:/etc/fencepost/tsa.key
//	  chain: /etc/fencepost/tsa-chain.pem
//	  policy: 1.3.6.1.4.1.99999.1
//	  clock: {source: kernel}
//
// Durations are written as Go does (300ms, 10s, 2m), sizes with a unit (64KiB,
// 1MiB) or in bytes. A relative path starts at the folder of the file. Secrets
// are never in the file: the file names where they are.
//
// [Load] reads and checks the file; it opens no other. A *[Error] says which
// key of which line is wrong.
package config

import (
	"crypto"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"net/netip"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// Config is the whole file.
type Config struct {
	// Listen is where the public interfaces answer: "127.0.0.1:3000",
	// "http://[::1]:3000", "https://192.0.2.1:443", "unix:/run/fencepost.sock",
	// "unix:@fencepost" for an abstract socket of Linux, or "systemd:NAME" for what
	// the service manager listens on: the sockets of that FileDescriptorName=, and
	// without a name all others. They are https if there is a tls section and they
	// are TCP. Without a scheme it is https if there is a tls section, else http. The
	// default is 127.0.0.1:3000; all interfaces are 0.0.0.0 or [::], spelt out.
	Listen []Address `yaml:"listen"`
	// UnixMode is who may connect to unix sockets, as an octal mode. The default
	// is 0660: the user and the group of the program.
	UnixMode UnixMode `yaml:"unix-mode"`
	// Admin is where metrics, profiles and the details of readiness are found.
	// They are for operators: whoever reaches it can learn what the program
	// does and slow it down. The default is 127.0.0.1:2112; "off" is nowhere.
	Admin AdminAddress `yaml:"admin"`
	// Watch is how often the files that are named here, and this one, are
	// looked at for changes; what changed is then loaded as after SIGHUP. 0s is
	// never. The default is 10s.
	Watch *Delay `yaml:"watch"`
	// TLS is the identity of the https listeners. Without it there are none.
	TLS *TLS `yaml:"tls"`
	// Log is what is written to standard error.
	Log Log `yaml:"log"`
	// Limits keep one client from taking what others need.
	Limits Limits `yaml:"limits"`
	// HTTP is how answers look.
	HTTP HTTP `yaml:"http"`
	// TSA is the timestamp authority. Required.
	TSA *TSA `yaml:"tsa"`
	// Audit is the record of issue. Without it there is none.
	Audit *Audit `yaml:"audit"`
	// Clients says who may ask, and how much. Without it anybody may, as much as
	// the server can do.
	Clients *Clients `yaml:"clients"`
	// Traces is where OpenTelemetry spans are sent. Without it there are none.
	Traces *Traces `yaml:"traces"`
}

// TLS is the section "tls".
type TLS struct {
	// Certificate is a PEM file, the server's certificate first. Required.
	Certificate Path `yaml:"certificate"`
	// Key is its private key, a PEM file. Required.
	Key Path `yaml:"key"`
	// ClientCA is a PEM file of CAs that certify clients.
	ClientCA Path `yaml:"client-ca"`
	// ClientAuth is required (only clients with a certificate of one of these
	// CAs are served) or optional (those with one may have a name, see clients;
	// the others are anonymous). The default is required.
	ClientAuth ClientAuth `yaml:"client-auth"`
}

// ClientAuth says whether clients must have a certificate.
type ClientAuth struct{ Optional bool }

// Log is the section "log".
type Log struct {
	// Format is json or text. The default is json.
	Format LogFormat `yaml:"format"`
	// Level is debug, info, warn or error. Requests are written at info, those
	// for health checks at debug. The default is info.
	Level LogLevel `yaml:"level"`
}

// Limits is the section "limits". Zero stands for the default.
type Limits struct {
	// MaxRequest is the longest body; longer ones are answered 413. 1MiB.
	MaxRequest Size `yaml:"max-request"`
	// MaxHeader is the longest request line and header together. 64KiB.
	MaxHeader Size `yaml:"max-header"`
	// Concurrency is how many requests are signed at once. 256; with a key outside
	// this process no more than SignConcurrency and a quarter of it.
	Concurrency int `yaml:"concurrency"`
	// Queue is how many more may wait, and no more than are answered in a second;
	// others are answered 503. 1024.
	Queue int `yaml:"queue"`
	// Connections is how many may be open on each listener; one more takes the
	// place of the one that has waited longest without a complete request. 4096.
	Connections int `yaml:"connections"`
	// ConnectionsPerAddress is how many of them one address may have, of IPv6 a
	// /64. A quarter of Connections; clients.trusted-proxies may have all.
	ConnectionsPerAddress int `yaml:"connections-per-address"`
	// Streams is how many requests of HTTP/2 one connection may have under way.
	// 100.
	Streams int `yaml:"streams"`
	// ReadHeaderTimeout ends a connection whose request header does not
	// arrive. 10s.
	ReadHeaderTimeout Duration `yaml:"read-header-timeout"`
	// ReadTimeout is the same for the whole request. 30s.
	ReadTimeout Duration `yaml:"read-timeout"`
	// WriteTimeout ends a connection whose answer is not taken. 30s.
	WriteTimeout Duration `yaml:"write-timeout"`
	// IdleTimeout ends a connection without a request. 2m.
	IdleTimeout Duration `yaml:"idle-timeout"`
	// SignTimeout is how long a key outside this process may take, trying again
	// and the standbys included; longer is a systemFailure. 10s.
	SignTimeout Duration `yaml:"sign-timeout"`
	// SignConcurrency is how many signatures a key outside this process is
	// asked for at once, those that were given up and have not ended included.
	// 64.
	SignConcurrency int `yaml:"sign-concurrency"`
	// SignAttempts is how often it is asked for one, when it cannot be reached.
	// 3.
	SignAttempts int `yaml:"sign-attempts"`
	// DrainDelay is how long the program goes on answering, and is not ready,
	// after it was told to stop: until load balancers have noticed. 0s.
	DrainDelay Delay `yaml:"drain-delay"`
	// ShutdownTimeout is how long requests may take to end when the program is
	// told to stop. 15s.
	ShutdownTimeout Duration `yaml:"shutdown-timeout"`
}

// HTTP is the section "http".
type HTTP struct {
	// Created answers a granted request with status 201 instead of 200, as
	// sigstore/timestamp-authority did before its version 2.
	Created bool `yaml:"created"`
	// RefusalFormat is rfc3161 (a TimeStampResp with status 200) or json (an
	// HTTP status and the JSON of sigstore/timestamp-authority, for its Go
	// client). The default is rfc3161.
	RefusalFormat RefusalFormat `yaml:"refusal-format"`
	// CORS lets web pages of any origin ask and read the answer. There are no
	// cookies or other credentials for them to misuse. The default is true.
	CORS *bool `yaml:"cors"`
	// RequestIDHeader is the header in which a request's identifier is taken
	// and given back. The default is X-Request-Id.
	RequestIDHeader string `yaml:"request-id-header"`
}

// TSA is the section "tsa": the key, what it promises, and by which clock.
type TSA struct {
	// Key names the signing key: "file:/etc/fencepost/tsa.key", with
	// "?passphrase-file=FILE" or "?passphrase-env=VARIABLE" if it is
	// encrypted; a key of a service or a device, "awskms:", "gcpkms:",
	// "azurekms:", "hashivault:", "openbao:", "tink:", "pkcs11:", "exec:"; or
	// "memory:p256" for one that dies with the process, for which nothing can
	// be trusted. Required.
	Key KeyURI `yaml:"key"`
	// Chain is the PEM file of its certificate chain, leaf first. Required but
	// for a key in memory, whose chain is made with it.
	Chain Path `yaml:"chain"`
	// Standby are other keys, each {key: URI, chain: FILE}, the first of which
	// takes over while Key does not sign.
	Standby []Standby `yaml:"standby"`
	// Delegate makes Key a CA that certifies stamping keys, which are made in
	// memory and sign; Chain is then that of the CA.
	Delegate *Delegate `yaml:"delegate"`
	// Announce is how long a new chain is published before it is used, while
	// the one before goes on. 0s is not at all. The default is 24h, and with
	// Delegate the whole of its Rotate if that is shorter.
	Announce *Delay `yaml:"announce"`
	// History is a folder in which every chain is kept that was published, so
	// that it stays so after the next start. Required with Delegate.
	History Path `yaml:"history"`
	// PastChains are PEM files of chains under which tokens were issued. They
	// stay published, for those who pin the authority's certificate.
	PastChains []Path `yaml:"past-chains"`
	// AnnouncedChains are PEM files of chains under which tokens will be
	// issued. They are published so that those who pin the authority's
	// certificate know them in time.
	AnnouncedChains []Path `yaml:"announced-chains"`
	// Policy is the object identifier of the policy under which tokens are
	// issued, and so of the promise that is made to those who trust them.
	// Required.
	Policy OID `yaml:"policy"`
	// AcceptedPolicies are others that a requester may ask for.
	AcceptedPolicies []OID `yaml:"accepted-policies"`
	// Hashes are the algorithms accepted: sha256, sha384, sha512, sha3-256,
	// sha3-384, sha3-512. The default is the first three.
	Hashes []Hash `yaml:"hashes"`
	// Accuracy is what each token promises. While the clock's error is
	// greater, none is issued. The default is 1s.
	Accuracy Duration `yaml:"accuracy"`
	// Precision is the step of the time in a token: 1s, 1ms or 1us. The
	// default is 1ms.
	Precision Duration `yaml:"precision"`
	// Include says which certificates come with a token if they are asked for:
	// leaf, chain (without the root) or full. The default is chain.
	Include Include `yaml:"include"`
	// Digest is the hash of the token itself: sha256, sha384 or sha512. The
	// default is the one that fits the key.
	Digest Hash `yaml:"digest"`
	// TSAName repeats the authority's name in each token.
	TSAName bool `yaml:"tsa-name"`
	// EnforceIntermediateEKU stops a chain whose intermediates are not limited
	// to timestamping.
	EnforceIntermediateEKU bool `yaml:"enforce-intermediate-eku"`
	// Clock is where the time comes from. Required but for a key in memory.
	Clock *Clock `yaml:"clock"`
}

// Standby is an element of the list "tsa.standby".
type Standby struct {
	// Key names the key, as tsa.key does, but not one in memory. Required.
	Key KeyURI `yaml:"key"`
	// Chain is the PEM file of its chain, leaf first. Required.
	Chain Path `yaml:"chain"`
}

// Delegate is the section "tsa.delegate".
type Delegate struct {
	// Rotate is how long each stamping key is used, at least 1h. Required.
	Rotate Duration `yaml:"rotate"`
	// Validity is how long its certificate is valid, at least Rotate and the
	// time of the announcement together. To verifiers that do not
	// look at the privateKeyUsagePeriod, which are those of Notation and
	// Sigstore, a stolen stamping key can stamp for so long. Required.
	Validity Duration `yaml:"validity"`
	// CommonName is the name in its certificate. The default is "Timestamping
	// Unit".
	CommonName string `yaml:"common-name"`
	// Organization and Country are the same. The default is those of the CA.
	Organization string `yaml:"organization"`
	Country      string `yaml:"country"`
}

// Clock is the section "tsa.clock".
type Clock struct {
	// Source is ntp (the system clock, compared with time servers all the
	// time), kernel (the system clock, with the error bound that the kernel has
	// from the time service that disciplines it; Linux) or system (the system
	// clock, whose error the operator declares and nothing watches). Required.
	Source ClockSource `yaml:"source"`
	// Bound is the error declared for source system, required there. For source
	// kernel it is added to what the kernel knows, 10ms unless given: time
	// services differ in how honest they are to the kernel. Not for source ntp,
	// which measures it.
	Bound Duration `yaml:"bound"`
	// Limit is the greatest error at which tokens are issued, if that is to be
	// less than Accuracy.
	Limit Duration `yaml:"limit"`
	// Servers are the time servers of source ntp, "nts://HOST", whose answers
	// are authenticated, or "ntp://HOST", which anybody on the way can forge;
	// with ":PORT" if it is not 4460 or 123. At least three are needed to
	// outvote one that is wrong.
	Servers []TimeServer `yaml:"servers"`
	// Agree is how many servers must agree. The default, and the least, is more
	// than half of them all.
	Agree int `yaml:"agree"`
	// Ask is how many of the servers are asked in each round, others each time,
	// once the time is known. The default is all.
	Ask int `yaml:"ask"`
	// Attempts is how often a server is asked in a round before it counts as
	// silent. The default is 2.
	Attempts int `yaml:"attempts"`
	// Interval is how often they are asked, at least 1s. The default is 64s.
	Interval Duration `yaml:"interval"`
	// Timeout is how long an answer may take. The default is 5s, and Interval
	// if that is shorter.
	Timeout Duration `yaml:"timeout"`
	// MaxAge is how long an answer is believed, at least Interval. The default
	// is 1h, and eight Intervals if that is longer.
	MaxAge Duration `yaml:"max-age"`
	// Drift is how wrong the hardware behind the system clock may run, in
	// millionths: the bound grows by so much as the last answer ages. If a
	// greater drift is measured, that counts. The default is 100.
	Drift float64 `yaml:"drift"`
	// CA is a PEM file of CAs that certify the nts servers. The default are
	// those of the system.
	CA Path `yaml:"ca"`
}

// ClockSource says where the time comes from.
type ClockSource string

// The clocks.
const (
	ClockSystem ClockSource = "system"
	ClockKernel ClockSource = "kernel"
	ClockNTP    ClockSource = "ntp"
)

// TimeServer is a time server.
type TimeServer struct {
	NTS     bool   // authenticated
	Address string // host, or host:port
}

// Audit is the section "audit": the record of each token and of each change of
// clock, key and configuration.
type Audit struct {
	// Dir is the folder of the record, of this instance alone. Required.
	Dir Path `yaml:"dir"`
	// Segment is how long a file gets, and SegmentAge how old, before the next
	// one is begun. 64MiB and 24h.
	Segment    Size     `yaml:"segment"`
	SegmentAge Duration `yaml:"segment-age"`
	// Retention is how long a file is kept, at least as long as the record must
	// be: two years are 17520h. The default is for ever.
	Retention Duration `yaml:"retention"`
	// Stamp are the timestamp authorities that stamp the record, the first that
	// answers: URLs, or "self" for this one. "off" leaves it unstamped. The
	// default is self.
	Stamp []StampURL `yaml:"stamp"`
	// StampEvery is how often that is done while there is something new, and
	// so how much of the record could be rewritten without a trace by whoever
	// has the folder. The default is 1h.
	StampEvery Duration `yaml:"stamp-every"`
}

// StampURL is the URL of a timestamp authority, or StampSelf or StampOff.
type StampURL string

// The words that stand for no URL.
const (
	StampSelf StampURL = "self"
	StampOff  StampURL = "off"
)

// Scheme is the protocol of a listener.
type Scheme string

// The protocols. SchemeDefault is https if there is a tls section, else http.
const (
	SchemeDefault Scheme = ""
	SchemeHTTP    Scheme = "http"
	SchemeHTTPS   Scheme = "https"
	SchemeUnix    Scheme = "unix"
	SchemeSystemd Scheme = "systemd"
)

// UnixMode is the mode of a socket; zero is the default.
type UnixMode fs.FileMode

// Address is one listener: Host and Port, the Path of a socket, or the Name of
// one that the service manager listens on.
type Address struct {
	Scheme     Scheme
	Host, Port string
	Path       string
	Name       string
}

// AdminAddress is the address of the administrative listener.
type AdminAddress struct {
	Address
	Off bool
}

// Defaults of the addresses. Neither is reachable from another machine.
var (
	defaultListen = Address{Host: netip.AddrFrom4([4]byte{127, 0, 0, 1}).String(), Port: "3000"}
	defaultAdmin  = AdminAddress{Address: Address{Host: "127.0.0.1", Port: "2112"}}
)

// LogFormat is the form of the log.
type LogFormat string

// The forms of the log.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// LogLevel is the least level that is written.
type LogLevel struct{ slog.Level }

// RefusalFormat is the form of a refusal.
type RefusalFormat struct{ tsphttp.RefusalFormat }

// Include says which certificates come with a token.
type Include struct{ authority.Include }

// Hash is a hash algorithm; zero is none.
type Hash struct{ crypto.Hash }

// OID is an object identifier; the zero value is none.
type OID struct{ x509.OID }

// IsZero says that there is none.
func (o OID) IsZero() bool { return o.OID.Equal(x509.OID{}) }

// KeyURI names a key; the zero value names none.
type KeyURI struct{ signer.URI }

// IsZero says that there is none.
func (u KeyURI) IsZero() bool { return u.Scheme == "" }

// InMemory says that the key dies with the process.
func (u KeyURI) InMemory() bool { return u.Scheme == signer.SchemeMemory }

// Path is the name of a file, absolute or from the working directory once the
// file is loaded; "" is none.
type Path string
