package nts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

func u16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// good is an answer that is accepted.
func good() []record {
	records := []record{
		{true, recordNextProtocol, u16(0)},
		{true, recordAEAD, u16(15)},
		{true, recordServer, []byte("ntp.example")},
		{true, recordPort, u16(11123)},
	}
	for i := range 8 {
		records = append(records, record{false, recordCookie, bytes.Repeat([]byte{byte(i)}, 100)})
	}
	return append(records, record{false, 0x4001, []byte("what others invent")}, record{true, recordEnd, nil})
}

func TestAgree(t *testing.T) {
	records, err := readRecords(bytes.NewReader(encodeRecords(good())))
	if err != nil {
		t.Fatal(err)
	}
	a, err := agree(records)
	if err != nil {
		t.Fatal(err)
	}
	if a.server != "ntp.example" || a.port != 11123 || len(a.cookies) != 8 {
		t.Errorf("agree = %+v", a)
	}
}

func TestAgreeRefuses(t *testing.T) {
	without := func(kind uint16) (out []record) {
		for _, r := range good() {
			if r.kind != kind {
				out = append(out, r)
			}
		}
		return out
	}
	with := func(r record) []record { return append([]record{r}, good()...) }
	instead := func(r record) []record { return append([]record{r}, without(r.kind)...) }
	for _, test := range []struct {
		name    string
		records []record
		reason  Reason
		text    string
	}{
		{"no next protocol", without(recordNextProtocol), ReasonMalformed, "no record NTS Next Protocol"},
		{"no AEAD", without(recordAEAD), ReasonMalformed, "no record AEAD"},
		{"no cookie", without(recordCookie), ReasonMalformed, "no cookie"},
		{"no end", without(recordEnd), ReasonMalformed, "no End of Message"},
		{"protocol unsupported", instead(record{true, recordNextProtocol, nil}), ReasonUnsupported, "NTPv4"},
		{"other protocol", instead(record{true, recordNextProtocol, u16(1)}), ReasonUnsupported, "chose 1"},
		{"two protocols", instead(record{true, recordNextProtocol, []byte{0, 0, 0, 0}}), ReasonMalformed, "4 octets"},
		{"AEAD unsupported", instead(record{true, recordAEAD, nil}), ReasonUnsupported, "AEAD_AES_SIV_CMAC_256"},
		{"other AEAD", instead(record{true, recordAEAD, u16(30)}), ReasonUnsupported, "chose 30"},
		{"odd AEAD", instead(record{true, recordAEAD, []byte{15}}), ReasonMalformed, "1 octets"},
		{"AEAD twice", with(record{true, recordAEAD, u16(15)}), ReasonMalformed, "two records AEAD"},
		{"protocol twice", with(record{true, recordNextProtocol, u16(0)}), ReasonMalformed, "two records NTS Next"},
		{"server twice", with(record{true, recordServer, []byte("a")}), ReasonMalformed, "two records NTPv4 Server"},
		{"port twice", with(record{true, recordPort, u16(1)}), ReasonMalformed, "two records NTPv4 Port"},
		{"end with a body", instead(record{true, recordEnd, []byte{1}}), ReasonMalformed, "body of 1"},
		{"unknown critical", with(record{true, 8, nil}), ReasonMalformed, "unknown critical record 8"},
		{"error 0", with(record{true, recordError, u16(0)}), ReasonRefused, "unrecognized critical record"},
		{"error 1", with(record{true, recordError, u16(1)}), ReasonRefused, "bad request"},
		{"error 2", []record{{true, recordError, u16(2)}, {true, recordEnd, nil}}, ReasonRefused, "internal server error"},
		{"error unknown", with(record{true, recordError, u16(999)}), ReasonRefused, "error 999"},
		{"error malformed", with(record{true, recordError, nil}), ReasonMalformed, "Error of 0"},
		{"error before a critical one", append(with(record{true, 99, nil}), record{true, recordError, u16(1)}), ReasonRefused, "bad request"},
		{"warning", with(record{true, recordWarning, u16(1)}), ReasonRefused, "warning 1"},
		{"cookie of nothing", with(record{false, recordCookie, nil}), ReasonMalformed, "cookie of 0"},
		{"cookie of 60 kB", with(record{false, recordCookie, make([]byte, 60000)}), ReasonMalformed, "cookie of 60000"},
		{"port 0", instead(record{true, recordPort, u16(0)}), ReasonMalformed, "port 0"},
		{"port of 3 octets", instead(record{true, recordPort, []byte{0, 0, 123}}), ReasonMalformed, "3 octets"},
		{"server of nothing", instead(record{true, recordServer, nil}), ReasonMalformed, "0 octets"},
		{"server with a space", instead(record{true, recordServer, []byte("a b")}), ReasonMalformed, "neither"},
		{"server with a port", instead(record{true, recordServer, []byte("a:123")}), ReasonMalformed, "neither"},
		{"server beyond ASCII", instead(record{true, recordServer, []byte("zeit.\u00e4.example")}), ReasonMalformed, "neither"},
		{"server with a NUL", instead(record{true, recordServer, []byte("a\x00b")}), ReasonMalformed, "neither"},
		{"server in octal", instead(record{true, recordServer, []byte("0177.1")}), ReasonMalformed, "neither"},
		{"server anywhere", instead(record{true, recordServer, []byte("0.0.0.0")}), ReasonMalformed, "not the address"},
		{"server everywhere", instead(record{true, recordServer, []byte("ff02::101")}), ReasonMalformed, "not the address"},
		{"server with a zone", instead(record{true, recordServer, []byte("fe80::1%eth0")}), ReasonMalformed, "not the address"},
		{"server too long", instead(record{true, recordServer, bytes.Repeat([]byte("a."), 127)}), ReasonMalformed, "254 octets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := agree(test.records)
			var e *Error
			if a != nil || !errors.As(err, &e) || e.Reason != test.reason || !strings.Contains(e.Error(), test.text) {
				t.Errorf("agree = %+v, %v; want %s with %q", a, err, test.reason, test.text)
			}
		})
	}
}

func TestAgreeKeepsEight(t *testing.T) {
	records := good()
	for range 20 {
		records = append([]record{{false, recordCookie, make([]byte, 100)}}, records...)
	}
	a, err := agree(records)
	if err != nil || len(a.cookies) != poolSize {
		t.Errorf("agree = %+v, %v; want 8 cookies", a, err)
	}
}

func TestCheckServer(t *testing.T) {
	for _, name := range []string{"ntp.example", "ntp.example.", "NTP-1.example", "xn--zeit-xxx.example", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "localhost"} {
		if err := checkServer(name); err != nil {
			t.Errorf("checkServer(%q) = %v", name, err)
		}
	}
}

func TestReadRecordsLimits(t *testing.T) {
	for _, test := range []struct {
		name, text string
		data       []byte
	}{
		{"nothing", "without End of Message", nil},
		{"half a head", "without End of Message", []byte{0x80, 1}},
		{"half a body", "body of 2 octets: the message ends", []byte{0x80, 1, 0, 2, 0}},
		{"no end", "without End of Message", encodeRecords(good()[:5])},
		{"1000 cookies", "more than 64 records", encodeRecords(append(slices.Repeat(good()[4:5], 1000), record{true, recordEnd, nil}))},
		{"too long", "longer than 65536", encodeRecords([]record{{body: make([]byte, 65535), kind: 9}, {true, recordEnd, nil}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readRecords(bytes.NewReader(test.data))
			if got != nil || err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("readRecords = %v, %v; want %q", got, err, test.text)
			}
		})
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(encodeRecords(good()))
	f.Add(encodeRecords([]record{{true, recordError, u16(1)}, {true, recordEnd, nil}}))
	f.Add(request())
	f.Add([]byte{0x80, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		records, err := readRecords(r)
		if err != nil {
			if records != nil {
				t.Fatalf("readRecords = %v with %v", records, err)
			}
			return
		}
		if read := data[:len(data)-r.Len()]; !bytes.Equal(encodeRecords(records), read) {
			t.Fatalf("%x was read as %+v", read, records)
		}
		a, err := agree(records)
		if (a == nil) == (err == nil) {
			t.Fatalf("agree = %+v, %v", a, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Error() == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if len(a.cookies) == 0 || len(a.cookies) > poolSize || a.server != "" && checkServer(a.server) != nil {
			t.Fatalf("agree = %+v", a)
		}
	})
}
