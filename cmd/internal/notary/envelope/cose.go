package envelope

import (
	"bytes"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// The labels of header parameters (RFC 9052, 3.1; RFC 9360, 2).
const (
	labelAlgorithm   = cose.HeaderLabelAlgorithm
	labelCritical    = cose.HeaderLabelCritical
	labelContentType = cose.HeaderLabelContentType
	labelChain       = cose.HeaderLabelX5Chain
)

// coseSign1Tag is the head of tag 18 (RFC 9052, 4.2).
const coseSign1Tag = 0xd2

func (e *Envelope) parseCOSE() error {
	in := e.Raw
	if len(in) == 0 || in[0] != coseSign1Tag {
		return fail(ReasonMalformed, "not a COSE_Sign1 message with the tag 18 (RFC 9052, 4.2)")
	}
	length, err := item(in[1:], maxDepth, tagsRefused)
	switch {
	case err != nil:
		return err
	case 1+length != len(in):
		return fail(ReasonMalformed, "%d bytes after its end", len(in)-1-length)
	case in[1] != majorArray<<5|4:
		return fail(ReasonMalformed, "not an array of four: protected header, unprotected header, payload, signature")
	}
	var parts [4][]byte
	at := 2
	for i := range parts {
		if length, err = item(in[at:], maxDepth, tagsRefused); err != nil {
			return err
		}
		parts[i], at = in[at:at+length], at+length
		if i == 1 {
			e.open = span{at - length, at}
		}
	}
	protected, err := readBytes(parts[0])
	if err != nil {
		return within("protected header", err)
	}
	h, err := parseProtectedCOSE(protected)
	if err != nil {
		return within("protected header", err)
	}
	u, err := parseUnprotectedCOSE(parts[1])
	if err != nil {
		return within("unprotected header", err)
	}
	payload, err := readBytes(parts[2])
	if err != nil {
		return within("payload", err)
	}
	if u.signature, err = readBytes(parts[3]); err != nil {
		return within("signature", err)
	}
	// RFC 9052, 4.4: the Sig_structure, with no external data.
	before := append([]byte{majorArray<<5 | 4, majorText<<5 | 10}, "Signature1"...)
	before = append(appendHead(before, majorBytes, uint64(len(protected))), protected...)
	before = append(before, majorBytes<<5)
	e.signed = [][]byte{appendHead(before, majorBytes, uint64(len(payload))), payload}
	if err := e.fill(h, u, payload); err != nil {
		return err
	}
	// Last, because it knows the parameters of the standard that are not read
	// here, and what is wrong with them.
	headers := cose.Headers{RawProtected: parts[0], RawUnprotected: parts[1]}
	if err := headers.UnmarshalFromRaw(); err != nil {
		return failed(ReasonMalformed, err, "COSE")
	}
	return nil
}

// parseProtectedCOSE reads the signed attributes.
func parseProtectedCOSE(in []byte) (*header, error) {
	if len(in) > maxProtected {
		return nil, fail(ReasonMalformed, "%d bytes; at most %d are read", len(in), maxProtected)
	}
	if len(in) == 0 { // the empty map, in its short form (RFC 9052, 3)
		in = []byte{majorMap << 5}
	}
	found, err := pairs(in, tagsAllowed)
	if err != nil {
		return nil, err
	}
	h := new(header)
	for _, p := range found {
		var s string
		name := p.label.String()
		switch p.label {
		case label{number: labelAlgorithm}:
			name = "alg"
			h.algorithm, err = readAlgorithm(p.value)
		case label{number: labelCritical}:
			name = "crit"
			h.critical, err = readLabels(p.value)
		case label{number: labelContentType}:
			name = "content type"
			h.contentType, err = readText(p.value)
		case text(nameScheme):
			s, err = readText(p.value)
			h.scheme = Scheme(s)
		case text(nameSigningTime):
			h.signingTime, err = readTime(p.value)
		case text(nameAuthenticTime):
			h.authenticTime, err = readTime(p.value)
		case text(nameExpiry):
			h.expiry, err = readTime(p.value)
		default:
			var v any
			v, err = readAny(p.value)
			h.extended, h.values = append(h.extended, p.label), append(h.values, v)
		}
		if err != nil {
			return nil, within(printable(name), err)
		}
	}
	return h, nil
}

func readAlgorithm(in []byte) (Algorithm, error) {
	n, err := readInt(in)
	if err != nil {
		return Algorithm{}, err
	}
	for _, a := range algorithms() {
		if a.cose == n {
			return a.Algorithm, nil
		}
	}
	return Algorithm{Name: cose.Algorithm(n).String()}, nil
}

func readLabels(in []byte) ([]label, error) {
	list, err := readArray(in, maxMembers, tagsAllowed)
	if err != nil {
		return nil, err
	}
	out := make([]label, len(list))
	for i, l := range list {
		if out[i], err = readLabel(l); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readTime reads an epoch-based time in whole seconds: tag 1 over a number (RFC
// 8949, 3.4.2).
func readTime(in []byte) (*time.Time, error) {
	major, n, size, err := head(in)
	switch {
	case err != nil:
		return nil, err
	case major != majorTag || n != 1:
		return nil, fail(ReasonTime, "it does not have the tag 1 (RFC 8949, 3.4.2)")
	case in[size]>>5 == majorSimple:
		return nil, fail(ReasonTime, "the tag 1 is over a number with a fraction, not one of whole seconds")
	}
	seconds, err := readInt(in[size:])
	if err != nil {
		return nil, fail(ReasonTime, "the tag 1 is not over a number of 64 bits")
	}
	return checkTime(time.Unix(seconds, 0))
}

// readAny returns a value as Attribute has it.
func readAny(in []byte) (any, error) {
	switch major := in[0] >> 5; {
	case major <= majorNegative:
		if n, err := readInt(in); err == nil {
			return n, nil
		}
	case major == majorBytes:
		b, err := readBytes(in)
		return bytes.Clone(b), err
	case major == majorText:
		return readText(in)
	case len(in) == 1 && in[0] == 0xf4:
		return false, nil
	case len(in) == 1 && in[0] == 0xf5:
		return true, nil
	case len(in) == 1 && in[0] == 0xf6:
		return nil, nil
	}
	notation, err := cbor.Diagnose(in)
	if err != nil {
		return nil, failed(ReasonMalformed, err, "CBOR")
	}
	return notation, nil
}

// parseUnprotectedCOSE reads what is not signed.
func parseUnprotectedCOSE(in []byte) (u unsigned, err error) {
	if len(in) > maxUnprotected {
		return u, fail(ReasonMalformed, "%d bytes; at most %d are read", len(in), maxUnprotected)
	}
	found, err := pairs(in, tagsRefused)
	if err != nil {
		return u, err
	}
	unknown := 0
	for _, p := range found {
		name := p.label.String()
		switch p.label {
		case label{number: labelChain}:
			name = "x5chain"
			u.certificates, err = readCertificates(p.value)
		case text(nameTimestamp):
			if u.timestamp, err = readBytes(p.value); err == nil && len(u.timestamp) == 0 {
				err = fail(ReasonMalformed, "it is empty")
			}
		case text(nameAgent):
			u.agent, err = readText(p.value)
		default:
			unknown += len(p.value)
		}
		if err != nil {
			return u, within(name, err)
		}
	}
	if unknown > maxUnknown {
		return u, fail(ReasonMalformed, "%d bytes in unknown parameters; at most %d are read", unknown, maxUnknown)
	}
	return u, nil
}

// readCertificates reads an array of certificates. The form for a single one,
// which RFC 9360, 2 has too, is not that of the Notary Project.
func readCertificates(in []byte) ([][]byte, error) {
	list, err := readArray(in, maxCertificates, tagsRefused)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i], err = readBytes(list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// withTimestampCOSE returns the unprotected header with another token in it,
// and every other pair as it is.
func withTimestampCOSE(in, token []byte) ([]byte, error) {
	found, err := pairs(in, tagsRefused)
	if err != nil {
		return nil, err
	}
	value := append(appendHead(nil, majorBytes, uint64(len(token))), token...)
	_, n, size, err := head(in)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.label == text(nameTimestamp) {
			return splice(in, span{p.from, p.at.to}, value), nil
		}
	}
	// Where the deterministic order has it, if the others are in that order
	// (RFC 8949, 4.2.1).
	key := append(appendHead(nil, majorText, uint64(len(nameTimestamp))), nameTimestamp...)
	at := len(in)
	for _, p := range found {
		if bytes.Compare(in[p.at.from:p.from], key) > 0 {
			at = p.at.from
			break
		}
	}
	out := appendHead(nil, majorMap, n+1)
	return append(out, splice(in[size:], span{at - size, at - size}, append(key, value...))...), nil
}
