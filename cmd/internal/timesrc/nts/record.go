package nts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Limits of the answer of a key exchange. What a server that means well sends
// is 8 cookies of about 100 octets each, and five records beside them.
const (
	// maxMessage is the most octets that are read: a record can be as long
	// (RFC 8915, 4), a whole answer has no reason to be.
	maxMessage = 64 << 10

	// maxRecords is the most records that are read.
	maxRecords = 64

	// maxCookie is the longest cookie that is kept: with one in a request, the
	// packet stays far below 1280 octets, which every path on IPv6 carries
	// whole.
	maxCookie = 512

	// poolSize is how many cookies are kept (RFC 8915, 4.1.6 and 5.7: eight).
	poolSize = 8
)

// Types of records (RFC 8915, 4.1 and 7.6).
const (
	recordEnd          = 0
	recordNextProtocol = 1
	recordError        = 2
	recordWarning      = 3
	recordAEAD         = 4
	recordCookie       = 5
	recordServer       = 6
	recordPort         = 7

	criticalBit = 1 << 15
)

const (
	protocolNTPv4 = 0  // RFC 8915, 7.7
	aeadSIV256    = 15 // AEAD_AES_SIV_CMAC_256, of IANA's registry for RFC 5116
)

// A record is a part of a message of the key exchange.
type record struct {
	critical bool
	kind     uint16 // 15 bits
	body     []byte
}

func (r record) append(b []byte) []byte {
	kind := r.kind
	if r.critical {
		kind |= criticalBit
	}
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.body)))
	return append(b, r.body...)
}

func encodeRecords(records []record) (b []byte) {
	for _, r := range records {
		b = r.append(b)
	}
	return b
}

// request is what a client of ours asks for, always (RFC 8915, 4).
func request() []byte {
	return encodeRecords([]record{
		{true, recordNextProtocol, binary.BigEndian.AppendUint16(nil, protocolNTPv4)},
		{true, recordAEAD, binary.BigEndian.AppendUint16(nil, aeadSIV256)},
		{true, recordEnd, nil},
	})
}

// readRecords reads a message up to its End of Message, which is the last of
// the records returned. It reads nothing after it.
func readRecords(r io.Reader) ([]record, error) {
	var (
		records []record
		total   int
		head    [4]byte
	)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, fmt.Errorf("record %d: %w", len(records)+1, cutShort(err))
		}
		kind, length := binary.BigEndian.Uint16(head[:]), int(binary.BigEndian.Uint16(head[2:]))
		if total += len(head) + length; total > maxMessage {
			return nil, fmt.Errorf("longer than %d octets", maxMessage)
		}
		rec := record{critical: kind&criticalBit != 0, kind: kind &^ criticalBit, body: make([]byte, length)}
		if _, err := io.ReadFull(r, rec.body); err != nil {
			return nil, fmt.Errorf("record %d, body of %d octets: %w", len(records)+1, length, cutShort(err))
		}
		records = append(records, rec)
		if rec.kind == recordEnd {
			return records, nil
		}
		if len(records) == maxRecords {
			return nil, fmt.Errorf("more than %d records", maxRecords)
		}
	}
}

// cutShort says what the end of the stream means within a message.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the message ends without End of Message")
	}
	return err
}

// An agreement is what client and server agreed on.
type agreement struct {
	server  string // the NTP server; "": the address of the key exchange
	port    uint16 // 0: 123
	cookies [][]byte
}

// agree reads an answer. Its errors are *[Error] without a server.
func agree(records []record) (*agreement, error) {
	// An error of the server explains whatever else is missing.
	for _, r := range records {
		if r.kind == recordError || r.kind == recordWarning {
			return nil, serverSays(r)
		}
	}
	a := new(agreement)
	var seen [recordPort + 1]bool
	for _, r := range records {
		if r.kind < uint16(len(seen)) {
			if seen[r.kind] && r.kind != recordCookie {
				return nil, malformed("two records %s", recordName(r.kind))
			}
			seen[r.kind] = true
		}
		if err := a.take(r); err != nil {
			return nil, err
		}
	}
	switch {
	case !seen[recordEnd]:
		return nil, malformed("no End of Message")
	case !seen[recordNextProtocol]:
		return nil, malformed("no record %s", recordName(recordNextProtocol))
	case !seen[recordAEAD]:
		return nil, malformed("no record %s", recordName(recordAEAD))
	case len(a.cookies) == 0: // RFC 8915, 4.1.6
		return nil, malformed("no cookie")
	}
	return a, nil
}

func (a *agreement) take(r record) error {
	switch r.kind {
	case recordEnd:
		if len(r.body) != 0 {
			return malformed("End of Message with a body of %d octets", len(r.body))
		}
	case recordNextProtocol: // RFC 8915, 4.1.2: of those asked for, so it is this one or none
		return one(r, protocolNTPv4, "NTPv4")
	case recordAEAD: // RFC 8915, 4.1.5
		return one(r, aeadSIV256, "AEAD_AES_SIV_CMAC_256")
	case recordCookie:
		if len(r.body) == 0 || len(r.body) > maxCookie {
			return malformed("cookie of %d octets", len(r.body))
		}
		if len(a.cookies) < poolSize {
			a.cookies = append(a.cookies, r.body)
		}
	case recordServer:
		if err := checkServer(string(r.body)); err != nil {
			return malformed("NTPv4 Server Negotiation: %w", err)
		}
		a.server = string(r.body)
	case recordPort:
		if len(r.body) != 2 {
			return malformed("NTPv4 Port Negotiation of %d octets", len(r.body))
		}
		if a.port = binary.BigEndian.Uint16(r.body); a.port == 0 {
			return malformed("NTPv4 Port Negotiation: port 0")
		}
	default: // RFC 8915, 4
		if r.critical {
			return malformed("unknown critical record %d", r.kind)
		}
	}
	return nil
}

// one holds that the body is exactly the choice that was offered.
func one(r record, want uint16, name string) error {
	switch {
	case len(r.body) == 0:
		return &Error{Reason: ReasonUnsupported, Err: fmt.Errorf("the server does not do %s", name)}
	case len(r.body) != 2:
		return malformed("%s of %d octets", recordName(r.kind), len(r.body))
	case binary.BigEndian.Uint16(r.body) != want:
		return &Error{Reason: ReasonUnsupported,
			Err: fmt.Errorf("%s: the server chose %d, which was not offered", recordName(r.kind), binary.BigEndian.Uint16(r.body))}
	}
	return nil
}

// serverSays is the error for a record Error or Warning. No warning is defined,
// and an unknown one counts as an error (RFC 8915, 4.1.3 and 4.1.4).
func serverSays(r record) error {
	if len(r.body) != 2 {
		return malformed("%s of %d octets", recordName(r.kind), len(r.body))
	}
	code := binary.BigEndian.Uint16(r.body)
	text := fmt.Sprintf("the server answers with %s %d", strings.ToLower(recordName(r.kind)), code)
	if names := []string{"unrecognized critical record", "bad request", "internal server error"}; r.kind == recordError && int(code) < len(names) {
		text += ", " + names[code]
	}
	return &Error{Reason: ReasonRefused, Err: errors.New(text)}
}

func recordName(kind uint16) string {
	names := []string{"End of Message", "NTS Next Protocol Negotiation", "Error", "Warning", "AEAD Algorithm Negotiation",
		"New Cookie for NTPv4", "NTPv4 Server Negotiation", "NTPv4 Port Negotiation"}
	return names[kind]
}

// maxName is the longest domain name (RFC 1035, 2.3.4).
const maxName = 253

// checkServer holds that name is an address or a domain name in letters,
// digits and hyphens (RFC 8915, 4.1.7), and an address that one host can have.
func checkServer(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("name of %d octets", len(name))
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return fmt.Errorf("%v is not the address of a server", addr)
		}
		return nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !slices.Contains([]byte(ldh), byte(r)) || r > 127 }) {
			return fmt.Errorf("%.64q is neither an address nor a domain name", name)
		}
	}
	// A last label of digits is no domain's: it is an address spelt as some
	// resolvers take it and others do not (127.1, 0x7f.1).
	last := strings.TrimSuffix(name, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last[0] >= '0' && last[0] <= '9' {
		return fmt.Errorf("%.64q is neither an address nor a domain name", name)
	}
	return nil
}

const ldh = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

func malformed(format string, args ...any) *Error {
	return &Error{Reason: ReasonMalformed, Err: fmt.Errorf(format, args...)}
}
