package tsp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// A Status is a PKIStatus (RFC 3161, 2.4.2).
//
//	PKIStatus ::= INTEGER {
//	  granted(0), grantedWithMods(1), rejection(2), waiting(3),
//	  revocationWarning(4), revocationNotification(5) }
type Status int

// The statuses of RFC 3161, 2.4.2. Only the first two come with a token.
const (
	StatusGranted                Status = 0
	StatusGrantedWithMods        Status = 1
	StatusRejection              Status = 2
	StatusWaiting                Status = 3
	StatusRevocationWarning      Status = 4
	StatusRevocationNotification Status = 5
)

// String returns the name that RFC 3161 gives: "granted".
func (s Status) String() string {
	switch s {
	case StatusGranted:
		return "granted"
	case StatusGrantedWithMods:
		return "grantedWithMods"
	case StatusRejection:
		return "rejection"
	case StatusWaiting:
		return "waiting"
	case StatusRevocationWarning:
		return "revocationWarning"
	case StatusRevocationNotification:
		return "revocationNotification"
	}
	return "status " + strconv.Itoa(int(s))
}

// maxStatusStrings bounds the texts of a refusal that are kept.
const maxStatusStrings = 16

// A Response is the answer to a [Request].
//
//	TimeStampResp ::= SEQUENCE {
//	  status          PKIStatusInfo,
//	  timeStampToken  TimeStampToken OPTIONAL }
type Response struct {
	// Raw is the response in DER.
	Raw    []byte
	Status Status
	// Text is the statusString as it came, which is rare where a token was
	// granted. It may hold anything that is UTF-8; see [Rejection.Text] for what
	// can be shown.
	Text []string
	// Rejection is why there is no token, nil when there is one.
	Rejection *Rejection
	// Token is nil unless the status is granted or grantedWithMods.
	Token *Token
}

// ParseResponse parses a response. It refuses an unknown status or failure
// information, a granted one without a token and a refusal with one (RFC 3161,
// 2.4.2), with an error that wraps [ErrMalformed]. That the response answers a
// certain request, and that its token is worth anything, is for others to check.
func ParseResponse(in []byte) (*Response, error) {
	r, err := parseResponse(in)
	if err != nil {
		return nil, fmt.Errorf("tsp: %w response: %w", ErrMalformed, err)
	}
	return r, nil
}

func parseResponse(in []byte) (*Response, error) {
	raw, err := open(in)
	if err != nil {
		return nil, err
	}
	r := &Response{Raw: raw}
	s := cryptobyte.String(raw)
	var body, status cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() {
		return nil, errors.New("not a TimeStampResp")
	}
	if !body.ReadASN1(&status, asn1.SEQUENCE) {
		return nil, errors.New("malformed status")
	}
	info, err := r.parseStatus(status)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	granted := r.Status == StatusGranted || r.Status == StatusGrantedWithMods
	switch {
	case granted && body.Empty():
		return nil, fmt.Errorf("status is %s but there is no token", r.Status)
	case granted && info != NoFailureInfo:
		return nil, fmt.Errorf("status is %s but there is a failInfo", r.Status)
	case !granted && !body.Empty():
		return nil, fmt.Errorf("status is %s but there is a token", r.Status)
	case !granted:
		r.Rejection = &Rejection{Status: r.Status, Info: info, Text: shown(r.Text)}
		return r, nil
	}
	var token []byte
	if !der.Element(&body, &token) || !body.Empty() {
		return nil, errors.New("malformed timeStampToken")
	}
	if r.Token, err = parseToken(token); err != nil {
		return nil, err
	}
	return r, nil
}

// shown makes of a statusString what people can be shown: a terminal obeys
// control characters, and a server may send megabytes.
func shown(texts []string) string {
	var b strings.Builder
	for i, text := range texts {
		if i > 0 {
			b.WriteString("; ")
		}
		for _, r := range text {
			if b.Len() > maxText {
				return cutText(b.String())
			}
			if !unicode.IsPrint(r) {
				r = ' '
			}
			b.WriteRune(r)
		}
	}
	return cutText(b.String())
}

// parseStatus parses the content of a PKIStatusInfo.
//
//	PKIStatusInfo ::= SEQUENCE {
//	  status        PKIStatus,
//	  statusString  PKIFreeText OPTIONAL,
//	  failInfo      PKIFailureInfo OPTIONAL }
func (r *Response) parseStatus(s cryptobyte.String) (FailureInfo, error) {
	var status int64
	if !der.SmallInteger(&s, &status) {
		return 0, errors.New("malformed PKIStatus")
	}
	if status < 0 || status > int64(StatusRevocationNotification) {
		return 0, fmt.Errorf("PKIStatus %d is unknown", status) // "MUST generate an error"
	}
	r.Status = Status(status)
	if s.PeekASN1Tag(asn1.SEQUENCE) {
		var texts, text cryptobyte.String
		if !s.ReadASN1(&texts, asn1.SEQUENCE) {
			return 0, errors.New("malformed statusString")
		}
		for !texts.Empty() {
			if len(r.Text) == maxStatusStrings {
				return 0, fmt.Errorf("statusString has more than %d texts", maxStatusStrings)
			}
			if !texts.ReadASN1(&text, asn1.UTF8String) || !utf8.Valid(text) {
				return 0, errors.New("statusString is not made of UTF8Strings")
			}
			r.Text = append(r.Text, string(text))
		}
	}
	info := NoFailureInfo
	if s.PeekASN1Tag(asn1.BIT_STRING) {
		var err error
		if info, err = parseFailInfo(&s); err != nil {
			return 0, err
		}
	}
	if !s.Empty() {
		return 0, errors.New("bytes after the last field")
	}
	return info, nil
}

// parseFailInfo reads a PKIFailureInfo: one bit of those that RFC 3161, 2.4.2
// lists. Trailing zero bits, which DER forbids, are let pass: they say nothing.
func parseFailInfo(s *cryptobyte.String) (FailureInfo, error) {
	var content cryptobyte.String
	if !s.ReadASN1(&content, asn1.BIT_STRING) || len(content) == 0 || content[0] > 7 ||
		len(content) == 1 && content[0] != 0 {
		return 0, errors.New("malformed failInfo")
	}
	found := NoFailureInfo
	for i, b := range content[1:] {
		for j := range 8 {
			if b&(0x80>>j) == 0 {
				continue
			}
			bit := FailureInfo(8*i + j)
			switch bit {
			case BadAlg, BadRequest, BadDataFormat, TimeNotAvailable, UnacceptedPolicy,
				UnacceptedExtension, AddInfoNotAvailable, SystemFailure:
			default:
				return 0, fmt.Errorf("failInfo %s is unknown", bit.String())
			}
			if found != NoFailureInfo {
				return 0, fmt.Errorf("failInfo says both %s and %s", found.String(), bit.String())
			}
			found = bit
		}
	}
	return found, nil
}

// open bounds in and turns it into DER of its own.
func open(in []byte) ([]byte, error) {
	if len(in) > MaxMessage {
		return nil, fmt.Errorf("%d bytes long, at most %d are read", len(in), MaxMessage)
	}
	out, err := der.ToDER(in)
	if err != nil {
		return nil, err
	}
	if len(in) > 0 && &out[0] == &in[0] {
		out = bytes.Clone(out)
	}
	return out, nil
}
