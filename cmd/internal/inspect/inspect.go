// Package inspect describes timestamp messages to people and to programs: as a
// tree of lines, and as documented structs for JSON. It shows what a message
// says, which nobody has verified, and remarks on what is unusual.
package inspect

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// A Message is a request, a response or a token. It is the JSON of
// "fencepost timestamp inspect".
type Message struct {
	// File is where the message came from, "-" for standard input.
	File string `json:"file"`
	// Kind is "request", "response" or "token".
	Kind string `json:"kind,omitempty"`
	// Form is "DER", "PEM" or "base64".
	Form    string   `json:"form,omitempty"`
	Request *Request `json:"request,omitempty"`
	// Status is the PKIStatus of a response: "granted".
	Status string `json:"status,omitempty"`
	// StatusString holds the texts of a response.
	StatusString []string `json:"statusString,omitempty"`
	// FailureInfo is the reason of a refusal: "badAlg".
	FailureInfo string `json:"failureInfo,omitempty"`
	Token       *Token `json:"token,omitempty"`
	// Reason is "malformed" where the file is no such message, Error why
	// nothing is shown; all but File is absent then.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

// A Request is a TimeStampReq.
type Request struct {
	Version    int         `json:"version"`
	Imprint    Imprint     `json:"imprint"`
	Policy     *Identifier `json:"policy,omitempty"`
	Nonce      string      `json:"nonce,omitempty"` // decimal
	CertReq    bool        `json:"certReq"`
	Extensions []Extension `json:"extensions,omitempty"`
}

// An Imprint is a hash algorithm and a digest.
type Imprint struct {
	Hash   string `json:"hash"`   // "SHA-256", or a dotted identifier
	Digest string `json:"digest"` // hexadecimal
}

// An Identifier is an object identifier and its name where it has one.
type Identifier struct {
	OID  string `json:"oid"`
	Name string `json:"name,omitempty"`
}

// An Extension is an X.509-style extension; the value is left out.
type Extension struct {
	Identifier
	Critical bool `json:"critical"`
	Size     int  `json:"size"` // of the value, in octets
}

// A Token is a TimeStampToken that nobody has verified.
type Token struct {
	UnverifiedInfo    Info               `json:"unverifiedInfo"`
	Version           int                `json:"signedDataVersion"`
	Signer            Signer             `json:"signer"`
	Certificates      []TokenCertificate `json:"certificates"`
	OtherCertificates int                `json:"otherCertificates,omitempty"`
	CRLs              int                `json:"crls,omitempty"`
	Remarks           []Remark           `json:"remarks,omitempty"`
}

// An Info is a TSTInfo.
type Info struct {
	Version int        `json:"version"`
	Policy  Identifier `json:"policy"`
	Imprint Imprint    `json:"imprint"`
	Serial  string     `json:"serialNumber"` // hexadecimal, with 0x
	GenTime time.Time  `json:"genTime"`
	// Accuracy is in seconds, null when the token states none.
	Accuracy   *float64    `json:"accuracySeconds"`
	Ordering   bool        `json:"ordering"`
	Nonce      string      `json:"nonce,omitempty"` // decimal
	TSA        string      `json:"tsa,omitempty"`   // DER of the GeneralName, hexadecimal
	Extensions []Extension `json:"extensions,omitempty"`
}

// A Signer is a SignerInfo.
type Signer struct {
	Version          int          `json:"version"`
	Serial           string       `json:"certificateSerialNumber,omitempty"`
	SubjectKeyID     string       `json:"subjectKeyIdentifier,omitempty"`
	Digest           Identifier   `json:"digestAlgorithm"`
	Algorithm        Identifier   `json:"signatureAlgorithm"`
	SignedAttributes []Identifier `json:"signedAttributes"`
	Unsigned         []Identifier `json:"unsignedAttributes,omitempty"`
}

// A Remark is something unusual about a token that does not by itself make it
// wrong.
type Remark struct {
	ID     string `json:"id"`
	Clause string `json:"clause,omitempty"`
	Text   string `json:"text"`
}

// Describe says what m, read from file, holds.
func Describe(file string, m *tsp.Message) *Message {
	out := &Message{File: file, Form: string(m.Form)}
	switch {
	case m.Request != nil:
		out.Kind, out.Request = "request", describeRequest(m.Request)
	case m.Response != nil:
		r := m.Response
		out.Kind, out.Status, out.StatusString = "response", r.Status.String(), r.Text
		if r.Rejection != nil {
			out.FailureInfo = r.Rejection.Info.String()
		}
		if r.Token != nil {
			out.Token = describeToken(r.Token)
		}
	default:
		out.Kind, out.Token = "token", describeToken(m.Token)
	}
	return out
}

func describeRequest(r *tsp.Request) *Request {
	out := &Request{Version: r.Version, Imprint: imprint(r.Imprint), Nonce: r.Nonce.String(), CertReq: r.CertReq}
	if !oid.IsZero(r.Policy) {
		id := identifier(r.Policy)
		out.Policy = &id
	}
	for _, e := range r.Extensions {
		out.Extensions = append(out.Extensions, Extension{dotted(e.Id.String()), e.Critical, len(e.Value)})
	}
	return out
}

func describeToken(t *tsp.Token) *Token {
	i, s := t.UnverifiedInfo, &t.Signer
	out := &Token{
		UnverifiedInfo: Info{
			Version: i.Version, Policy: identifier(i.Policy), Imprint: imprint(i.Imprint),
			Serial: i.Serial.Hex(), GenTime: i.GenTime, Ordering: i.Ordering,
			Nonce: i.Nonce.String(), TSA: hex.EncodeToString(i.TSA),
		},
		Version:           t.Version,
		OtherCertificates: t.OtherCertificates,
		CRLs:              len(t.CRLs),
		Certificates:      []TokenCertificate{},
		Signer: Signer{
			Version: s.Version, Serial: s.Serial.Hex(), SubjectKeyID: hex.EncodeToString(s.SubjectKeyID),
			Digest: identifier(s.Digest.OID), Algorithm: identifier(s.Algorithm.OID),
			SignedAttributes: attributes(s.SignedAttributes), Unsigned: attributes(s.UnsignedAttributes),
		},
	}
	if i.HasAccuracy {
		seconds := i.Accuracy.Seconds()
		out.UnverifiedInfo.Accuracy = &seconds
	}
	for _, e := range i.Extensions {
		out.UnverifiedInfo.Extensions = append(out.UnverifiedInfo.Extensions, Extension{dotted(e.Id.String()), e.Critical, len(e.Value)})
	}
	for _, der := range t.Certificates {
		out.Certificates = append(out.Certificates, tokenCertificate(der, s))
	}
	for _, r := range verify.Lint(t) {
		out.Remarks = append(out.Remarks, Remark{ID: r.ID, Clause: r.Clause, Text: r.Text})
	}
	return out
}

func imprint(m tsp.Imprint) Imprint {
	return Imprint{Hash: m.AlgorithmName(), Digest: hex.EncodeToString(m.Digest)}
}

func identifier(id x509.OID) Identifier { return Identifier{OID: id.String(), Name: oid.Name(id)} }

func dotted(text string) Identifier {
	id, err := x509.ParseOID(text)
	if err != nil {
		return Identifier{OID: text}
	}
	return identifier(id)
}

func attributes(list []tsp.Attribute) []Identifier {
	var out []Identifier
	for _, a := range list {
		out = append(out, identifier(a.Type))
	}
	return out
}

// String returns the name and the dotted form.
func (i Identifier) String() string {
	if i.Name == "" {
		return i.OID
	}
	return i.Name + " (" + i.OID + ")"
}

// Tree returns the lines that "fencepost timestamp inspect" prints.
func (m *Message) Tree() *Node {
	root := &Node{Text: fmt.Sprintf("%s: timestamp %s, %s", m.File, m.Kind, m.Form)}
	if m.Request != nil {
		m.Request.grow(root)
	}
	if m.Status != "" {
		status := root.Add("status: " + m.Status)
		if m.FailureInfo != "" {
			status.Add("failure: " + m.FailureInfo)
		}
		for _, text := range m.StatusString {
			status.Add("says: " + text)
		}
	}
	if m.Token != nil {
		m.Token.grow(root.Add("token, not verified"))
	}
	return root
}

func (r *Request) grow(n *Node) {
	n.Add("version: " + fmt.Sprint(r.Version))
	n.Add("imprint: " + r.Imprint.Hash + " " + r.Imprint.Digest)
	if r.Policy != nil {
		n.Add("policy asked for: " + r.Policy.String())
	}
	n.Add("nonce: " + orNone(r.Nonce))
	n.Add("certificate asked for: " + yesNo(r.CertReq))
	growExtensions(n, r.Extensions)
}

func (t *Token) grow(n *Node) {
	i := t.UnverifiedInfo
	accuracy := ", accuracy not stated"
	if i.Accuracy != nil {
		accuracy = " ± " + (time.Duration(*i.Accuracy * float64(time.Second))).String()
	}
	n.Add("time: " + i.GenTime.Format("2006-01-02 15:04:05.999999999 UTC") + accuracy)
	n.Add("imprint: " + i.Imprint.Hash + " " + i.Imprint.Digest)
	n.Add("policy: " + i.Policy.String())
	n.Add("serial number: " + i.Serial)
	n.Add("nonce: " + orNone(i.Nonce))
	n.Add("ordering: " + yesNo(i.Ordering))
	if i.TSA != "" {
		n.Add("names its authority: yes")
	}
	growExtensions(n, i.Extensions)
	t.Signer.grow(n.Add("signature: " + t.Signer.Algorithm.String()))
	t.growCertificates(n)
	if t.OtherCertificates > 0 {
		n.Add(fmt.Sprintf("certificates of other kinds, not read: %d", t.OtherCertificates))
	}
	if t.CRLs > 0 {
		n.Add(fmt.Sprintf("revocation lists: %d", t.CRLs))
	}
	if len(t.Remarks) > 0 {
		remarks := n.Add("remarks")
		for _, r := range t.Remarks {
			line := r.Text
			if r.Clause != "" {
				line += " [" + r.Clause + "]"
			}
			remarks.Add(line)
		}
	}
}

func (s *Signer) grow(n *Node) {
	n.Add("digest: " + s.Digest.String())
	if s.SubjectKeyID != "" {
		n.Add("signer: the certificate with key identifier " + s.SubjectKeyID)
	} else {
		n.Add("signer: the certificate with serial number " + s.Serial)
	}
	var names []string
	for _, a := range s.SignedAttributes {
		names = append(names, a.short())
	}
	n.Add("signed attributes: " + orNone(strings.Join(names, ", ")))
	if len(s.Unsigned) > 0 {
		names = nil
		for _, a := range s.Unsigned {
			names = append(names, a.short())
		}
		n.Add("unsigned attributes: " + strings.Join(names, ", "))
	}
}

func (i Identifier) short() string {
	if i.Name != "" {
		return i.Name
	}
	return i.OID
}

func growExtensions(n *Node, list []Extension) {
	for _, e := range list {
		critical := ""
		if e.Critical {
			critical = ", critical"
		}
		n.Add(fmt.Sprintf("extension: %s, %d bytes%s", e.Identifier, e.Size, critical))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
