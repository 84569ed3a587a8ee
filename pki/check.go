package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Severity is the weight of a finding.
type Severity int

const (
	// Note is worth knowing: advice that was not followed, or a consequence.
	Note Severity = iota + 1
	// Warning means that standards allow it, and a verifier or a specification
	// in wide use does not. The finding names it.
	Warning
	// Error means that a standard is broken or the chain cannot work.
	Error
)

// String returns "note", "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("pki.Severity(%d)", int(s))
}

// MarshalText writes the severity as a word, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that Check has to say.
type Finding struct {
	Rule        Rule     `json:"rule"`
	Severity    Severity `json:"severity"`
	Certificate int      `json:"certificate"` // index in the chain, 0 the leaf; -1 for the chain as a whole
	Subject     string   `json:"subject"`     // of that certificate; empty for the chain as a whole
	Clause      string   `json:"clause"`      // "RFC 3161, 2.3"
	Detail      string   `json:"detail"`      // what is wrong, in words for an operator

	// Cure says what to do about it, on one line without a full stop. Every
	// error and every warning has one.
	Cure string `json:"cure,omitempty"`
}

// String returns the finding on one line.
func (f Finding) String() string {
	where := "chain"
	if f.Certificate >= 0 {
		where = fmt.Sprintf("certificate %d, %q", f.Certificate+1, f.Subject)
	}
	return fmt.Sprintf("%v: %s: %s (%s; %s)", f.Severity, where, f.Detail, f.Rule, f.Clause)
}

// Report is what Check found, certificate by certificate.
type Report struct {
	Findings []Finding `json:"findings"`

	applied map[Rule]bool
}

// Applied reports whether there was something to apply a rule to. If so, and
// no finding names it, the rule holds. A chain that is broken early leaves many
// rules unapplied, and so does a check without a public key.
func (r Report) Applied(rule Rule) bool { return r.applied[rule] }

// Err returns a *ChainError for the first finding that is an error, nil if
// there is none.
func (r Report) Err() error {
	for _, f := range r.Findings {
		if f.Severity == Error {
			return &ChainError{Finding: f}
		}
	}
	return nil
}

// ChainError says which rule a chain broke first, and which certificate is at
// fault.
type ChainError struct {
	Finding Finding
}

// Error returns the certificate at fault, what is wrong, the rule and its clause.
func (e *ChainError) Error() string {
	f := e.Finding
	if f.Certificate < 0 {
		return fmt.Sprintf("pki: certificate chain: %s (%s; %s)", f.Detail, f.Rule, f.Clause)
	}
	return fmt.Sprintf("pki: certificate %d of the chain, %q: %s (%s; %s)", f.Certificate+1, f.Subject, f.Detail, f.Rule, f.Clause)
}

// CheckOptions says what a chain is checked for.
type CheckOptions struct {
	// Role is what the key of the first certificate is to do. Required: without it the report is
	// an error.
	Role Role

	// Time is when all certificates must be valid, and the private key in its
	// usage period. Zero means now.
	Time time.Time

	// PublicKey is the key that the first certificate must certify. Nil means that there is
	// none to compare with.
	PublicKey crypto.PublicKey

	// EnforceIntermediateEKU makes it an error that an intermediate has no
	// extended key usage. No standard demands one, commercial CAs often lack
	// it, and Sigstore's timestamp server does not start without it. The zero
	// value makes it a warning.
	EnforceIntermediateEKU bool
}

// Check goes through a chain, leaf first and root last, and reports all that it
// finds. For the roles of CAs the first certificate is the issuing CA's. Rules
// about a link between certificates that are not a chain at all (RuleOrder) are left out, since they would only repeat that.
func Check(chain []*x509.Certificate, opts CheckOptions) Report {
	c := &checker{chain: chain, opts: opts, report: Report{
		Findings: []Finding{}, // [] in JSON, not null
		applied:  map[Rule]bool{},
	}}
	if c.opts.Time.IsZero() {
		c.opts.Time = time.Now()
	}
	var err error
	c.apply(RuleRole)
	if c.role, err = opts.Role.profile(); err != nil {
		c.add(RuleRole, -1, Error, "Fencepost", "%v", err)
		return c.report
	}
	if !c.length() {
		return c.report
	}
	ordered := c.order()
	for i := range chain {
		c.signature(i, ordered)
		c.key(i)
		c.validity(i)
		c.nesting(i)
		c.form(i)
	}
	first := 0 // of those that issue
	if c.role.issues() {
		c.issuing()
	} else {
		c.leaf()
		first = 1
	}
	for i := first; i < len(chain); i++ {
		c.issuer(i, i-first)
	}
	c.policies()
	c.root()
	c.revocation()
	if c.report.Err() == nil {
		c.path()
	}
	return c.report
}

// checker carries one run of Check.
type checker struct {
	chain  []*x509.Certificate
	opts   CheckOptions
	role   profile
	report Report
}

// apply notes that rules are being applied.
func (c *checker) apply(rules ...Rule) {
	for _, r := range rules {
		c.report.applied[r] = true
	}
}

// add records a finding about certificate i, or about the chain if i is -1. An
// error or a warning gets the usual cure of its rule; see cure.
func (c *checker) add(rule Rule, i int, s Severity, clause, format string, args ...any) {
	f := Finding{Rule: rule, Severity: s, Certificate: i, Clause: clause, Detail: fmt.Sprintf(format, args...)}
	if i >= 0 {
		f.Subject = subjectText(c.chain[i])
	}
	if s > Note {
		f.Cure = c.role.cure(rule)
	}
	c.apply(rule)
	c.report.Findings = append(c.report.Findings, f)
}

// cure replaces the cure of the finding that was added last.
func (c *checker) cure(text string) {
	c.report.Findings[len(c.report.Findings)-1].Cure = text
}

// path has crypto/x509 build the path that the rules found sound. It is where
// name constraints are looked at, and it holds the rules to their promise.
func (c *checker) path() {
	c.apply(RulePath)
	last := len(c.chain) - 1
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.chain[last])
	for _, cert := range c.chain[1:max(last, 1)] {
		intermediates.AddCert(cert)
	}
	_, err := c.chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: c.opts.Time,
		KeyUsages: []x509.ExtKeyUsage{c.role.eku},
	})
	if err == nil {
		return
	}
	at := -1
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		for i, cert := range c.chain {
			if cert.Equal(invalid.Cert) {
				at = i
			}
		}
	}
	c.add(RulePath, at, Error, "RFC 5280, 6.1", "no valid path: %v", err)
}
