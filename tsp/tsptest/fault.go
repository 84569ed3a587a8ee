package tsptest

import "fmt"

// A Fault is one way in which a [TSA] misbehaves. Its String is a word for
// URLs and scripts: "wrong-nonce".
type Fault int

// The faults. The token, unless said otherwise, is signed and sound but for
// the fault.
const (
	NoFault Fault = iota

	WrongNonce         // the nonce is another one
	NoNonce            // the nonce is missing
	WrongImprint       // the digest is another one
	WrongHash          // the digest is the right one under another algorithm
	WrongPolicy        // the policy is not the one asked for
	StaleTime          // genTime is a year ago
	FutureTime         // genTime is a year ahead
	Replay             // the answer to the first request that this TSA had
	SwappedCertificate // another authority signs, properly, with its own chain
	WrongKey           // the signature is by a key that the certificate does not have
	CorruptSignature   // one bit of the signature is flipped
	NoCertificate      // certificates were asked for and are not there
	InjectedLeaf       // the chain of another authority is in the token as well
	BareToken          // a token without the response around it
	GrantedEmpty       // status granted without a token
	RefusedWithToken   // status rejection with a token
	Waiting            // status waiting, which HTTP has no use for

	RefuseBadAlg              // status rejection, badAlg; the next ones likewise
	RefuseBadRequest          // badRequest
	RefuseBadDataFormat       // badDataFormat
	RefuseTimeNotAvailable    // timeNotAvailable
	RefuseUnacceptedPolicy    // unacceptedPolicy
	RefuseUnacceptedExtension // unacceptedExtension
	RefuseAddInfoNotAvailable // addInfoNotAvailable
	RefuseSystemFailure       // systemFailure
	RefuseWithoutReason       // status rejection without failInfo and text

	Truncated     // the message ends early, the HTTP body is complete
	CutOff        // the connection breaks in the middle of the body
	HungUp        // the connection is closed without an answer
	Empty         // the body is empty
	TrailingBytes // a line end follows the response
	Garbage       // the body is random-looking bytes
	HTMLPage      // the body is a web page, with the media type of a reply
	Base64        // the reply is in base64
	Slow          // nothing comes for TSAConfig.Delay, then a sound answer
	Drip          // the header comes at once, then an octet each TSAConfig.Delay
	Endless       // the body never ends
	Bomb          // the body is compressed and expands to a gigabyte
	HugeHeader    // the HTTP header has two megabytes

	WrongMediaType // a sound answer as text/html
	NoMediaType    // a sound answer without Content-Type
	Created        // a sound answer with HTTP status 201, as old servers send

	NoContent          // HTTP status 204
	BadRequestJSON     // HTTP status 400 with a JSON error under the media type of a reply
	Unauthorized       // HTTP status 401
	Forbidden          // HTTP status 403
	NotFound           // HTTP status 404 with a web page
	TooLarge           // HTTP status 413
	TooManyRequests    // HTTP status 429 with Retry-After in seconds
	InternalError      // HTTP status 500 without a body
	BadGateway         // HTTP status 502 with a web page
	Unavailable        // HTTP status 503 with Retry-After in seconds
	UnavailableDate    // HTTP status 503 with Retry-After as a date
	UnavailableForever // HTTP status 503 with Retry-After of ten years
	Redirect           // HTTP status 307 to TSAConfig.RedirectURL
	RedirectSeeOther   // HTTP status 303 to TSAConfig.RedirectURL, which makes it a GET
	RedirectLoop       // HTTP status 307 to itself

	faultCount int = iota
)

// faultNames holds the String of each Fault and what GET / says of it.
var faultNames = [faultCount][2]string{
	NoFault:                   {"none", "a sound answer"},
	WrongNonce:                {"wrong-nonce", "the nonce is another one"},
	NoNonce:                   {"no-nonce", "the nonce is missing"},
	WrongImprint:              {"wrong-imprint", "the digest is another one"},
	WrongHash:                 {"wrong-hash", "the digest is under another algorithm"},
	WrongPolicy:               {"wrong-policy", "the policy is another one"},
	StaleTime:                 {"stale-time", "the time is a year ago"},
	FutureTime:                {"future-time", "the time is a year ahead"},
	Replay:                    {"replay", "the answer to the first request ever"},
	SwappedCertificate:        {"swapped-certificate", "another authority signs"},
	WrongKey:                  {"wrong-key", "the signature is by another key"},
	CorruptSignature:          {"corrupt-signature", "a bit of the signature is flipped"},
	NoCertificate:             {"no-certificate", "the certificates asked for are missing"},
	InjectedLeaf:              {"injected-leaf", "another authority's chain is in the token as well"},
	BareToken:                 {"bare-token", "a token without a response around it"},
	GrantedEmpty:              {"granted-empty", "granted, without a token"},
	RefusedWithToken:          {"refused-with-token", "rejected, with a token"},
	Waiting:                   {"waiting", "status waiting"},
	RefuseBadAlg:              {"refuse-bad-alg", "rejected: badAlg"},
	RefuseBadRequest:          {"refuse-bad-request", "rejected: badRequest"},
	RefuseBadDataFormat:       {"refuse-bad-data-format", "rejected: badDataFormat"},
	RefuseTimeNotAvailable:    {"refuse-time-not-available", "rejected: timeNotAvailable"},
	RefuseUnacceptedPolicy:    {"refuse-unaccepted-policy", "rejected: unacceptedPolicy"},
	RefuseUnacceptedExtension: {"refuse-unaccepted-extension", "rejected: unacceptedExtension"},
	RefuseAddInfoNotAvailable: {"refuse-add-info-not-available", "rejected: addInfoNotAvailable"},
	RefuseSystemFailure:       {"refuse-system-failure", "rejected: systemFailure"},
	RefuseWithoutReason:       {"refuse-without-reason", "rejected, no reason given"},
	Truncated:                 {"truncated", "the message ends early"},
	CutOff:                    {"cut-off", "the connection breaks in the middle"},
	HungUp:                    {"hung-up", "the connection is closed without an answer"},
	Empty:                     {"empty", "the body is empty"},
	TrailingBytes:             {"trailing-bytes", "a line end follows the response"},
	Garbage:                   {"garbage", "the body is random-looking bytes"},
	HTMLPage:                  {"html-page", "the body is a web page, called a reply"},
	Base64:                    {"base64", "the reply is in base64"},
	Slow:                      {"slow", "a sound answer after a long wait"},
	Drip:                      {"drip", "a sound answer, one octet at a time"},
	Endless:                   {"endless", "the body never ends"},
	Bomb:                      {"bomb", "the body is compressed and expands to a gigabyte"},
	HugeHeader:                {"huge-header", "the HTTP header has two megabytes"},
	WrongMediaType:            {"wrong-media-type", "a sound answer as text/html"},
	NoMediaType:               {"no-media-type", "a sound answer without Content-Type"},
	Created:                   {"created", "a sound answer with HTTP 201"},
	NoContent:                 {"no-content", "HTTP 204"},
	BadRequestJSON:            {"bad-request-json", "HTTP 400 with a JSON error"},
	Unauthorized:              {"unauthorized", "HTTP 401"},
	Forbidden:                 {"forbidden", "HTTP 403"},
	NotFound:                  {"not-found", "HTTP 404 with a web page"},
	TooLarge:                  {"too-large", "HTTP 413"},
	TooManyRequests:           {"too-many-requests", "HTTP 429 with Retry-After"},
	InternalError:             {"internal-error", "HTTP 500 without a body"},
	BadGateway:                {"bad-gateway", "HTTP 502 with a web page"},
	Unavailable:               {"unavailable", "HTTP 503 with Retry-After"},
	UnavailableDate:           {"unavailable-date", "HTTP 503 with Retry-After as a date"},
	UnavailableForever:        {"unavailable-forever", "HTTP 503 with Retry-After of ten years"},
	Redirect:                  {"redirect", "HTTP 307 to elsewhere"},
	RedirectSeeOther:          {"redirect-see-other", "HTTP 303 to elsewhere"},
	RedirectLoop:              {"redirect-loop", "HTTP 307 to itself"},
}

// Faults returns every fault in order, [NoFault] not among them.
func Faults() []Fault {
	out := make([]Fault, 0, faultCount-1)
	for f := NoFault + 1; int(f) < faultCount; f++ {
		out = append(out, f)
	}
	return out
}

// ParseFault returns the fault whose String is name.
func ParseFault(name string) (Fault, error) {
	for f := range faultNames {
		if faultNames[f][0] == name {
			return Fault(f), nil
		}
	}
	return 0, fmt.Errorf("tsptest: no fault is called %q", name)
}

// String returns the word for URLs and scripts: "wrong-nonce".
func (f Fault) String() string {
	if f < 0 || int(f) >= faultCount {
		return fmt.Sprintf("tsptest.Fault(%d)", int(f))
	}
	return faultNames[f][0]
}
