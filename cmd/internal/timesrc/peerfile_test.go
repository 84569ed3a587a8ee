package timesrc_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
)

// peerKeys is a file that the peer takes.
var peerKeys = [][2]string{
	{"request_attempts", "3"}, {"request_timeout", "5"}, {"num_servers", "4"}, {"server_threshold", "3"},
	{"max_time_delta", "6"}, {"period", "60"}, {"servers", "[a.example, b.example, '192.0.2.1:1123', '2001:db8::1']"},
}

// peerFile returns that file with one key changed, or left out if value is "-".
func peerFile(key, value string) []byte {
	var b strings.Builder
	for _, kv := range peerKeys {
		if kv[0] == key {
			kv[1] = value
		}
		if kv[1] != "-" {
			fmt.Fprintf(&b, "%s: %s\n", kv[0], kv[1])
		}
	}
	return []byte(b.String())
}

func TestReadPeerFile(t *testing.T) {
	want := timesrc.PeerFile{
		RequestAttempts: 3, RequestTimeout: 5 * time.Second, NumServers: 4, ServerThreshold: 3,
		MaxTimeDelta: 6 * time.Second, Period: time.Minute,
		Servers: []string{"a.example", "b.example", "192.0.2.1:1123", "2001:db8::1"},
	}
	for _, key := range []string{"", "request_attempts", "period"} { // left out: the default, which is the same
		for _, value := range []string{"-", "0"} {
			got, err := timesrc.ReadPeerFile(peerFile(key, value))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: %+v, %v; want %+v", key, value, got, err, want)
			}
		}
	}
	for _, test := range []struct {
		name string
		data []byte
		text string
	}{
		{"empty", nil, "empty"},
		{"only a comment", []byte("# nothing\n"), "empty"},
		{"not YAML", []byte("{"), "yaml"},
		{"a list", []byte("[1]"), "unmarshal"},
		{"unknown key", append(peerFile("", ""), "smear: true\n"...), "smear"},
		{"repeated key", append(peerFile("", ""), "period: 1\n"...), "period"},
		{"two documents", append(peerFile("", ""), "---\n{}\n"...), "more than one document"},
		{"not a number", peerFile("period", "often"), "often"},
		{"a fraction", peerFile("period", "0.5"), "0.5"},
		{"huge number", peerFile("period", "99999999999999999999"), "9999"},
		{"huge period", peerFile("period", "9223372036854775807"), "period"},
		{"negative period", peerFile("period", "-1"), "period is -1"},
		{"negative attempts", peerFile("request_attempts", "-1"), "request_attempts is -1"},
		{"many attempts", peerFile("request_attempts", "101"), "request_attempts is 101"},
		{"no timeout", peerFile("request_timeout", "-"), "request_timeout is 0"},
		{"negative timeout", peerFile("request_timeout", "-5"), "request_timeout is -5"},
		{"delta below timeout", peerFile("max_time_delta", "4"), "max_time_delta, 4s, is less than"},
		{"no delta", peerFile("max_time_delta", "-"), "max_time_delta is 0"},
		{"no num_servers", peerFile("num_servers", "-"), "num_servers is 0"},
		{"too few servers", peerFile("num_servers", "5"), "there are 4, and num_servers is 5"},
		{"no threshold", peerFile("server_threshold", "0"), "server_threshold is 0"},
		{"threshold too high", peerFile("server_threshold", "5"), "server_threshold is 5"},
		{"no servers", peerFile("servers", "-"), "there are 0"},
		{"a URI", peerFile("servers", "['ntp://a', b, c, d]"), "ntp://a"},
		{"an empty server", peerFile("servers", "['', b, c, d]"), `""`},
		{"a server twice", peerFile("servers", "[a, b, c, a]"), "twice"},
		{"a server twice, spelt otherwise", peerFile("servers", "[a, b, c, 'A.:123']"), "twice"},
		{"large", []byte(strings.Repeat("# nothing\n", 10000)), "octets"},
	} {
		got, err := timesrc.ReadPeerFile(test.data)
		if err == nil || !reflect.DeepEqual(got, timesrc.PeerFile{}) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %+v, %v; want %q", test.name, got, err, test.text)
		}
	}
}

// The defaults are a file that would be taken.
func TestDefaultPeerFile(t *testing.T) {
	f := timesrc.DefaultPeerFile()
	back, err := timesrc.ReadPeerFile(writePeerFile(f))
	if err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("%+v, %v; want %+v", back, err, f)
	}
	if len(f.Servers) != 23 {
		t.Errorf("%d servers; the peer has 23", len(f.Servers))
	}
}

func writePeerFile(f timesrc.PeerFile) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "request_attempts: %d\nrequest_timeout: %d\nnum_servers: %d\nserver_threshold: %d\nmax_time_delta: %d\nperiod: %d\nservers:\n",
		f.RequestAttempts, f.RequestTimeout/time.Second, f.NumServers, f.ServerThreshold, f.MaxTimeDelta/time.Second, f.Period/time.Second)
	for _, s := range f.Servers {
		fmt.Fprintf(&b, "  - '%s'\n", s)
	}
	return []byte(b.String())
}

// FuzzReadPeerFile: what is read can be written and read again, and asks for
// nothing that does not end.
func FuzzReadPeerFile(f *testing.F) {
	f.Add(peerFile("", ""))
	f.Add(peerFile("period", "0"))
	f.Add([]byte("servers: &a [*a]"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := timesrc.ReadPeerFile(data)
		if err != nil {
			if !reflect.DeepEqual(got, timesrc.PeerFile{}) {
				t.Fatalf("%+v, with %v", got, err)
			}
			return
		}
		if got.Period < time.Second || got.RequestAttempts < 1 || got.RequestTimeout < time.Second ||
			got.ServerThreshold < 1 || got.NumServers < got.ServerThreshold || len(got.Servers) < got.NumServers {
			t.Fatalf("%+v", got)
		}
		back, err := timesrc.ReadPeerFile(writePeerFile(got))
		if err != nil || !reflect.DeepEqual(back, got) {
			t.Fatalf("%+v, %v; want %+v", back, err, got)
		}
	})
}
