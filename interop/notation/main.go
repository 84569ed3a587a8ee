// Command notation drives the libraries of the Notary Project as their command-line client does, with JSON for
// an answer: it signs and verifies with notation-go, and stores with oras-go. The client itself cannot be had as
// a module.
//
// It is built twice from the same source: with go.mod and the last release of notation-go, which stores
// signatures in the older form of manifest, and with main.mod and the tag notationmain, with the last commit
// that the module proxy has, which stores them in the newer form and knows files. That commit has a version that
// sorts below the release: "go get -u" replaces it.
//
// The exit status is 0 where the answer is yes, 1 where it is no or the work failed, and 2 for wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: notation COMMAND [FLAG...] ARGUMENT
  sign         sign an image and store the signature
  forge        sign a payload as it is
  attach       store a signature that is in a file
  verify       verify the signatures of an image
  inspect      tell what the signatures of an image say
  policy       validate a trust policy document
  blob-sign    sign a file
  blob-verify  verify the signature of a file
`

// errUsage is a command line that makes no sense.
var errUsage = errors.New("usage")

// errNo is an answer that was given on the standard output, and is no.
var errNo = errors.New("no")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errNo):
		os.Exit(1)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "notation: %v\n%s", err, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "notation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, *options) (any, error){
		"sign": sign, "forge": forge, "attach": attach, "verify": verify, "inspect": inspect, "policy": checkPolicy,
		"blob-sign": signBlob, "blob-verify": verifyBlob,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("%w: no such command", errUsage)
	}
	o, err := parseOptions(args[0], args[1:])
	if err != nil {
		return err
	}
	answer, err := commands[args[0]](ctx, o)
	if answer != nil {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if encodeErr := encoder.Encode(answer); encodeErr != nil {
			return encodeErr
		}
	}
	return err
}

// options are the flags of all commands. Which ones a command looks at is in its own text.
type options struct {
	argument string // the reference or the file

	key, chain            string
	format                string
	expiry                time.Duration
	metadata              map[string]string
	timestampURL          string
	timestampRoot         string
	referrersTag          bool
	layout                bool
	config                string
	scope                 string
	maxSignatures         int
	count                 int
	envelope              string
	blob                  bool
	policyFor             string
	mediaType             string
	signature             string
	policyName            string
	crlCache              string
	payloadType           string
	scheme                string
	signingTime           time.Duration
	attributes, criticals []string
}

func parseOptions(command string, args []string) (*options, error) {
	o := &options{metadata: make(map[string]string)}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&o.key, "key", "", "PEM `file` of the private key")
	flags.StringVar(&o.chain, "chain", "", "PEM `file` of the certificates, leaf first, root last")
	flags.StringVar(&o.format, "format", "jws", "jws or cose")
	flags.DurationVar(&o.expiry, "expiry", 0, "when the signature expires")
	flags.Func("metadata", "`key=value` that is signed, or has to be", func(text string) error {
		key, value, found := strings.Cut(text, "=")
		if !found {
			return errors.New("want key=value")
		}
		o.metadata[key] = value
		return nil
	})
	flags.StringVar(&o.timestampURL, "timestamp-url", "", "of the timestamp authority")
	flags.StringVar(&o.timestampRoot, "timestamp-root", "", "`file` with its root certificate")
	flags.BoolVar(&o.referrersTag, "referrers-tag", false, "list the signature under a tag, without asking for the referrers API")
	flags.BoolVar(&o.layout, "oci-layout", false, "the reference is DIRECTORY:TAG or DIRECTORY@DIGEST")
	flags.StringVar(&o.config, "config", "", "`directory` of the trust policy and the trust store")
	flags.StringVar(&o.scope, "scope", "", "`host/repository` by which the policy of a layout is chosen")
	flags.IntVar(&o.maxSignatures, "max-signatures", 100, "how many signatures to look at")
	flags.IntVar(&o.count, "count", 1, "sign so many times, each with the metadata number=1 and so on")
	flags.StringVar(&o.envelope, "envelope", "", "`file` with a signature, or directory of such files")
	flags.BoolVar(&o.blob, "blob", false, "the document is one for files")
	flags.StringVar(&o.policyFor, "for", "", "`reference`, or name where the document is one for files, whose statement to tell")
	flags.StringVar(&o.mediaType, "media-type", "", "of the file")
	flags.StringVar(&o.signature, "signature", "", "`file` with the signature, or to write it to")
	flags.StringVar(&o.policyName, "policy-name", "", "of the statement, instead of the global one")
	flags.StringVar(&o.crlCache, "crl-cache", "", "`directory` of certificate revocation lists; none keeps none")
	flags.StringVar(&o.payloadType, "payload-type", "application/vnd.cncf.notary.payload.v1+json", "media `type` of the payload")
	flags.StringVar(&o.scheme, "scheme", "notary.x509", "of signing")
	flags.DurationVar(&o.signingTime, "signing-time", 0, "from now")
	flags.Func("attribute", "signed `key=value`", func(text string) error {
		o.attributes = append(o.attributes, text)
		return nil
	})
	flags.Func("critical", "signed `key=value` that a verifier has to understand", func(text string) error {
		o.criticals = append(o.criticals, text)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() != 1 {
		return nil, fmt.Errorf("%w: want one argument after the flags, got %d", errUsage, flags.NArg())
	}
	o.argument = flags.Arg(0)
	return o, nil
}
