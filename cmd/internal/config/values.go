package config

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// Each kind of value reads itself from the text of a YAML scalar, so that an
// object identifier such as 1.2 is not a number on the way.

// scalar returns the text of a node that must be a plain value.
func scalar(node *yaml.Node) (string, error) {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return "", fmt.Errorf("line %d: a single value is needed", node.Line)
	}
	return node.Value, nil
}

// decode reads a node with parse and puts the line in front of its error.
func decode[T any](node *yaml.Node, into *T, parse func(string) (T, error)) error {
	text, err := scalar(node)
	if err != nil {
		return err
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	*into = v
	return nil
}

// Duration is a span of time, written as Go does.
type Duration time.Duration

// UnmarshalYAML reads a positive duration.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, d, func(text string) (Duration, error) {
		v, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 300ms, 10s or 2m", text)
		}
		if v <= 0 {
			return 0, fmt.Errorf("%s is not a positive duration", text)
		}
		return Duration(v), nil
	})
}

// Delay is a span of time that may be none.
type Delay time.Duration

// UnmarshalYAML reads a duration that is not negative.
func (d *Delay) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, d, func(text string) (Delay, error) {
		v, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 0s, 10s or 24h", text)
		}
		if v < 0 {
			return 0, fmt.Errorf("%s is negative", text)
		}
		return Delay(v), nil
	})
}

// Or returns the delay, or if there is none what stands for it.
func (d *Delay) Or(other time.Duration) time.Duration {
	if d == nil {
		return other
	}
	return time.Duration(*d)
}

// defaultAnnounce is how long a new chain is published before it is used:
// clients that fetch their trusted root once a day have it by then.
const defaultAnnounce = 24 * time.Hour

// AnnounceTime is Announce or what stands for it.
func (t *TSA) AnnounceTime() time.Duration {
	other := defaultAnnounce
	if t.Delegate != nil {
		other = min(other, time.Duration(t.Delegate.Rotate))
	}
	return t.Announce.Or(other)
}

// Size is a number of bytes.
type Size int64

// UnmarshalYAML reads a positive size.
func (s *Size) UnmarshalYAML(node *yaml.Node) error { return decode(node, s, ParseSize) }

// ParseSize reads a size such as 4096, 64KiB, 1MiB or 1MB.
func ParseSize(text string) (Size, error) {
	number, unit := text, int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if n, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size such as 4096, 64KiB or 1MiB", text)
	}
	return Size(n * unit), nil
}

// UnmarshalYAML reads an address.
func (a *Address) UnmarshalYAML(node *yaml.Node) error { return decode(node, a, ParseAddress) }

// maxSocketName is the longest name that systemd gives to a socket.
const maxSocketName = 255

// ParseAddress reads an address: [http://|https://]HOST:PORT, unix:PATH,
// unix:@NAME for an abstract socket of Linux, or systemd:NAME, where the name may
// be missing. The host is an IP address or localhost: a name that resolves to
// something else tomorrow is no address to listen on.
func ParseAddress(text string) (Address, error) {
	var a Address
	rest := text
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" || path == "@" {
			return a, fmt.Errorf("%q names no socket", text)
		}
		if strings.HasPrefix(path, "@") && runtime.GOOS != "linux" {
			return a, fmt.Errorf("%q: %s has no abstract sockets; a file of that name is ./%s", text, runtime.GOOS, path)
		}
		return Address{Scheme: SchemeUnix, Path: path}, nil
	}
	if name, ok := strings.CutPrefix(text, "systemd:"); ok {
		// sd_listen_fds(3): ASCII without control characters and without colons.
		if len(name) > maxSocketName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
			return a, fmt.Errorf("%q: that is not the name of a socket (FileDescriptorName=) of systemd", text)
		}
		return Address{Scheme: SchemeSystemd, Name: name}, nil
	}
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		a.Scheme, rest = Scheme(scheme), after
		if a.Scheme != SchemeHTTP && a.Scheme != SchemeHTTPS {
			return a, fmt.Errorf("%q: the scheme is not http, https, unix or systemd", text)
		}
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return a, fmt.Errorf("%q is not an address such as 127.0.0.1:3000", text)
	}
	if host == "" {
		return a, fmt.Errorf("%q has no host; all interfaces are 0.0.0.0 or [::]", text)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
		return a, fmt.Errorf("%q: the host is neither an IP address nor localhost", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return a, fmt.Errorf("%q: the port is not a number below 65536", text)
	}
	a.Host, a.Port = host, port
	return a, nil
}

// Network is the first argument of net.Listen, or "systemd".
func (a Address) Network() string {
	switch a.Scheme {
	case SchemeUnix:
		return "unix"
	case SchemeSystemd:
		return "systemd"
	}
	return "tcp"
}

// Listen is the second argument of net.Listen, or the name of a socket.
func (a Address) Listen() string {
	switch a.Scheme {
	case SchemeUnix:
		return a.Path
	case SchemeSystemd:
		return a.Name
	}
	return net.JoinHostPort(a.Host, a.Port)
}

// UnmarshalYAML reads an address or "off".
func (a *AdminAddress) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, a, ParseAdminAddress)
}

// ParseAdminAddress reads an address, or "off".
func ParseAdminAddress(text string) (AdminAddress, error) {
	if text == "off" {
		return AdminAddress{Off: true}, nil
	}
	a, err := ParseAddress(text)
	if err == nil && a.Scheme == SchemeHTTPS {
		err = fmt.Errorf("%q: the administrative listener is plain http", text)
	}
	return AdminAddress{Address: a}, err
}

const headerLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// CheckRequestIDHeader refuses what is no name of a header, and headers that
// mean something else: the identifier is logged and sent back, which secrets
// must not be, and replaces what is not fit for that.
func CheckRequestIDHeader(name string) error {
	if name == "" || strings.Trim(name, headerLetters) != "" {
		return fmt.Errorf("%q is not the name of a header", name)
	}
	canonical := http.CanonicalHeaderKey(name)
	for _, prefix := range []string{"Accept", "Accept-", "Access-Control-", "Allow", "Authorization", "Cache-Control", "Connection", "Content-", "Cookie",
		"Date", "Etag", "Expect", "Expires", "Host", "If-", "Origin", "Pragma", "Proxy-", "Retry-After", "Sec-", "Server", "Set-Cookie",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Accel-", "X-Api-Key", "X-Auth-"} {
		if canonical == prefix || strings.HasSuffix(prefix, "-") && strings.HasPrefix(canonical, prefix) {
			return fmt.Errorf("%s has another meaning than the identifier of a request", canonical)
		}
	}
	return nil
}

// choice reads one of a closed set of words.
func choice[T any](what string, words []string, values []T) func(string) (T, error) {
	return func(text string) (T, error) {
		for i, w := range words {
			if w == text {
				return values[i], nil
			}
		}
		var zero T
		return zero, fmt.Errorf("%q is not a %s: %s", text, what, strings.Join(words, ", "))
	}
}

// UnmarshalYAML reads required or optional.
func (a *ClientAuth) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, a, choice("kind of client authentication", []string{"required", "optional"}, []ClientAuth{{}, {Optional: true}}))
}

// UnmarshalYAML reads an octal mode.
func (m *UnixMode) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, m, func(text string) (UnixMode, error) {
		v, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 9)
		if err != nil || v == 0 {
			return 0, fmt.Errorf("%q is not an octal mode such as 0660", text)
		}
		return UnixMode(v), nil
	})
}

// UnmarshalYAML reads json or text.
func (f *LogFormat) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, f, choice("log format", []string{"json", "text"}, []LogFormat{LogJSON, LogText}))
}

// UnmarshalYAML reads a level.
func (l *LogLevel) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, l, choice("log level", []string{"debug", "info", "warn", "error"},
		[]LogLevel{{slog.LevelDebug}, {slog.LevelInfo}, {slog.LevelWarn}, {slog.LevelError}}))
}

// UnmarshalYAML reads rfc3161 or json.
func (f *RefusalFormat) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, f, choice("refusal format", []string{"rfc3161", "json"},
		[]RefusalFormat{{tsphttp.RefusalRFC3161}, {tsphttp.RefusalJSON}}))
}

// UnmarshalYAML reads leaf, chain or full.
func (i *Include) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, i, choice("choice of certificates", []string{"leaf", "chain", "full"},
		[]Include{{authority.IncludeLeaf}, {authority.IncludeChain}, {authority.IncludeRoot}}))
}

// UnmarshalYAML reads ntp, kernel or system.
func (s *ClockSource) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, s, choice("clock", []string{"ntp", "kernel", "system"}, []ClockSource{ClockNTP, ClockKernel, ClockSystem}))
}

// UnmarshalYAML reads the URI of a time server.
func (s *TimeServer) UnmarshalYAML(node *yaml.Node) error { return decode(node, s, ParseTimeServer) }

// ParseTimeServer reads ntp://HOST[:PORT] or nts://HOST[:PORT].
func ParseTimeServer(text string) (TimeServer, error) {
	scheme, address, _ := strings.Cut(text, "://")
	if scheme != "ntp" && scheme != "nts" {
		return TimeServer{}, fmt.Errorf("%q is not a time server such as nts://time.example or ntp://192.0.2.1", text)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil { // without a port
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), "1"
	}
	_, ipErr := netip.ParseAddr(host)
	if host == "" || ipErr != nil && !isHostName(host) {
		return TimeServer{}, fmt.Errorf("%q: the host is neither an IP address nor a name", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return TimeServer{}, fmt.Errorf("%q: the port is not a number from 1 to 65535", text)
	}
	return TimeServer{NTS: scheme == "nts", Address: address}, nil
}

// isHostName says whether name could be looked up in the DNS (RFC 1123, 2.1).
func isHostName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, letters) != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// String returns the URI.
func (s TimeServer) String() string {
	if s.NTS {
		return "nts://" + s.Address
	}
	return "ntp://" + s.Address
}

// UnmarshalYAML reads a URL, self or off.
func (u *StampURL) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, u, func(text string) (StampURL, error) {
		parsed, err := url.Parse(text)
		switch {
		case StampURL(text) == StampSelf, StampURL(text) == StampOff:
		case err != nil, parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Host == "":
			return "", errors.New("not a URL such as https://tsa.example, nor self, nor off")
		case parsed.User != nil:
			return "", errors.New("a user and a password are secrets, which are not in this file")
		}
		return StampURL(text), nil
	})
}

// UnmarshalYAML reads the name of a hash.
func (h *Hash) UnmarshalYAML(node *yaml.Node) error { return decode(node, h, ParseHash) }

// ParseHash reads the name of a hash that is strong enough for a timestamp.
func ParseHash(text string) (Hash, error) {
	return choice("hash", []string{"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"},
		[]Hash{{crypto.SHA256}, {crypto.SHA384}, {crypto.SHA512}, {crypto.SHA3_256}, {crypto.SHA3_384}, {crypto.SHA3_512}})(text)
}

// UnmarshalYAML reads a dotted object identifier.
func (o *OID) UnmarshalYAML(node *yaml.Node) error { return decode(node, o, ParseOID) }

// maxOID is the longest object identifier, in characters: room for a UUID arc
// and then some. Each is written into every token.
const maxOID = 256

// ParseOID reads a dotted object identifier.
func ParseOID(text string) (OID, error) {
	if len(text) > maxOID {
		return OID{}, fmt.Errorf("an object identifier of %d characters is too long", len(text))
	}
	oid, err := x509.ParseOID(text)
	if err != nil {
		return OID{}, fmt.Errorf("%q is not an object identifier such as 1.3.6.1.4.1.99999.1", text)
	}
	return OID{oid}, nil
}

// UnmarshalYAML reads the URI of a key.
func (u *KeyURI) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, u, func(text string) (KeyURI, error) {
		uri, err := signer.ParseURI(text)
		return KeyURI{uri}, err
	})
}

// UnmarshalYAML reads the name of a file.
func (p *Path) UnmarshalYAML(node *yaml.Node) error {
	return decode(node, p, func(text string) (Path, error) {
		if text == "" || strings.ContainsRune(text, 0) {
			return "", fmt.Errorf("%q is not the name of a file", text)
		}
		return Path(text), nil
	})
}
