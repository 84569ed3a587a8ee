package auditcmd

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// kindAll stands for every kind of record.
const kindAll = "all"

// kinds are those that --kind takes.
var kinds = []audit.Kind{
	audit.KindToken, audit.KindClock, audit.KindKey, audit.KindConfig, audit.KindStart, audit.KindStop,
	audit.KindStamp, audit.KindRecovered, audit.KindRemoved, audit.KindSegment, audit.KindSeal,
}

func kindWords() []string {
	var words []string
	for _, k := range kinds {
		words = append(words, string(k))
	}
	return words
}

func kindNames() string { return strings.Join(kindWords(), ", ") + " or " + kindAll }

// queryOptions are the flags that say what is looked for.
type queryOptions struct {
	from, to   string
	key        string
	serial     string
	digest     string
	file       string
	timestamp  string
	clockBound string
	clockState string
	kinds      []string
	client     string
}

func (o *queryOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "the earliest `time`, as 2026-01-31 or 2026-01-31T12:00:00Z: that in the token, or of recording for other kinds")
	f.StringVar(&o.to, "to", "", "the latest `time`; a day is meant to its end")
	f.StringVar(&o.key, "key", "", "the `name` of the signing key in the configuration, or the SHA-256 of its certificate in hexadecimal")
	f.StringVar(&o.serial, "serial", "", "the serial `number` of a token, in hexadecimal or decimal")
	f.StringVar(&o.digest, "digest", "", "the `digest` that was stamped, in hexadecimal or base64")
	f.StringVar(&o.file, "file", "", "the `file` that was stamped, by the digest of any algorithm")
	f.StringVar(&o.timestamp, "timestamp", "", "the very token in this `file`, a response or a token")
	f.StringVar(&o.clockBound, "clock-bound", "", "tokens issued while the clock could be wrong by more than this `span`, such as 200ms")
	f.StringVar(&o.clockState, "clock-state", "", "tokens issued in this `state` of the clock, such as unmonitored, or changes to it")
	f.StringSliceVar(&o.kinds, "kind", []string{string(audit.KindToken)}, "the `kinds` of records: "+kindNames())
	f.StringVar(&o.client, "client", "", "tokens for this `client`, as it was recorded: a name or an address")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append(kindWords(), kindAll), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("kind", complete); err != nil {
		panic("auditcmd: internal error: " + err.Error())
	}
}

// A query is what is looked for: what package audit can be asked, and more.
type query struct {
	audit.Query
	kinds       []audit.Kind // nil: all
	serials     [][]byte     // one of them; nil: any
	digests     [][]byte     // one of them; nil: any
	imprints    []tsp.Imprint
	certificate []byte
	clockState  string
}

// query reads the flags.
func (o *queryOptions) query(env *cli.Env) (*query, error) {
	q := &query{Query: audit.Query{Client: o.client}, clockState: o.clockState}
	for _, parse := range []func(*query) error{o.parseKinds, o.parseTimes, o.parseNumbers} {
		if err := parse(q); err != nil {
			return nil, err
		}
	}
	if err := o.suits(q); err != nil {
		return nil, err
	}
	var err error
	if o.file != "" {
		if q.imprints, err = imprints(env, o.file); err != nil {
			return nil, err
		}
	}
	if o.timestamp != "" {
		q.Token, err = tokenDigest(env, o.timestamp)
	}
	return q, err
}

func (o *queryOptions) parseKinds(q *query) error {
	for _, text := range o.kinds {
		switch k := audit.Kind(text); {
		case text == kindAll && len(o.kinds) == 1:
			return nil
		case text == kindAll:
			return cli.Usagef("--kind %s stands alone", kindAll)
		case !slices.Contains(kinds, k):
			return cli.Usagef("--kind %q is not one of %s", text, kindNames())
		default:
			q.kinds = append(q.kinds, k)
		}
	}
	if q.kinds == nil {
		return cli.Usagef("--kind names nothing")
	}
	return nil
}

// suits refuses to look for what no record of the kinds can have: that it is
// not found would say nothing.
func (o *queryOptions) suits(q *query) error {
	for _, f := range []struct {
		name  string
		given bool
		of    []audit.Kind
	}{
		{"key", o.key != "", []audit.Kind{audit.KindToken, audit.KindKey}},
		{"serial", o.serial != "", []audit.Kind{audit.KindToken}},
		{"digest", o.digest != "", []audit.Kind{audit.KindToken}},
		{"file", o.file != "", []audit.Kind{audit.KindToken}},
		{"timestamp", o.timestamp != "", []audit.Kind{audit.KindToken}},
		{"client", o.client != "", []audit.Kind{audit.KindToken}},
		{"clock-bound", o.clockBound != "", []audit.Kind{audit.KindToken}},
		{"clock-state", o.clockState != "", []audit.Kind{audit.KindToken, audit.KindClock}},
	} {
		if f.given && q.kinds != nil && !slices.ContainsFunc(q.kinds, func(k audit.Kind) bool { return slices.Contains(f.of, k) }) {
			return cli.Usagef("--%s looks for records of kind %s, and --kind wants none", f.name, f.of[0])
		}
	}
	return nil
}

func (o *queryOptions) parseTimes(q *query) (err error) {
	if q.From, _, err = parseTime("from", o.from); err != nil {
		return err
	}
	var day bool
	if q.To, day, err = parseTime("to", o.to); err != nil {
		return err
	}
	if day {
		q.To = q.To.AddDate(0, 0, 1).Add(-1)
	}
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return cli.Usagef("--to %s is before --from %s", o.to, o.from)
	}
	return nil
}

// parseTime takes a day in UTC, or a moment.
func parseTime(flag, text string) (t time.Time, day bool, err error) {
	if text == "" {
		return t, false, nil
	}
	if t, err = time.Parse(time.DateOnly, text); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, false, cli.Usagef("--%s %q is neither a day such as 2026-01-31, in UTC, nor a time such as 2026-01-31T12:00:00Z", flag, text)
	}
	return t, false, nil
}

func (o *queryOptions) parseNumbers(q *query) (err error) {
	if o.key != "" {
		// A name of 64 such digits nobody gives.
		if sum, ok := unhex(o.key); ok && len(sum) == sha256.Size {
			q.certificate = sum
		} else {
			q.Key = o.key
		}
	}
	if o.clockBound != "" {
		if q.ClockBoundAbove, err = time.ParseDuration(o.clockBound); err != nil || q.ClockBoundAbove <= 0 {
			return cli.Usagef("--clock-bound %q is not a span of time such as 200ms or 1.5s", o.clockBound)
		}
	}
	if o.serial != "" {
		if q.serials, err = parseSerial(o.serial); err != nil {
			return err
		}
	}
	if o.digest != "" {
		q.digests, err = parseDigest(o.digest)
	}
	return err
}

// unhex reads hexadecimal as programs print it.
func unhex(text string) ([]byte, bool) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	return b, err == nil && len(b) > 0
}

// parseSerial returns the numbers that a text can mean: what has digits only may
// be hexadecimal or decimal. Both are looked for; of numbers as long as these,
// no two differ only in that.
func parseSerial(text string) (numbers [][]byte, err error) {
	plain := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(text))
	digits, prefixed := strings.CutPrefix(plain, "0x")
	unsigned := digits != "" && digits[0] != '-' && digits[0] != '+' && !strings.Contains(digits, "_")
	for _, base := range []int{16, 10} {
		if n, ok := new(big.Int).SetString(digits, base); ok && unsigned && (base == 16 || !prefixed) {
			numbers = append(numbers, n.Bytes())
		}
	}
	if numbers == nil {
		return nil, cli.Usagef("--serial %q is not a number, in hexadecimal or decimal", text)
	}
	return numbers, nil
}

// parseDigest returns the digests that a text can mean: some are hexadecimal
// and base64. The name of an algorithm may go before it, as in sha256:….
func parseDigest(text string) (digests [][]byte, err error) {
	plain := text
	if name, rest, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(strings.ToLower(name), "sha") {
		plain = rest
	}
	if b, ok := unhex(plain); ok {
		digests = append(digests, b)
	}
	unpadded := strings.TrimRight(plain, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.Strict().DecodeString(unpadded); err == nil {
			digests = append(digests, b)
		}
	}
	// SHA-1, the shortest that is worth looking for, has 20 octets.
	digests = slices.DeleteFunc(digests, func(b []byte) bool { return len(b) < 20 || len(b) > 64 })
	if len(digests) == 0 {
		return nil, cli.Usagef("--digest %q is not a digest, in hexadecimal or base64", text)
	}
	return digests, nil
}

// hashes are the algorithms that an authority of ours takes.
var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512}

// imprints hashes a file with every algorithm, reading it once.
func imprints(env *cli.Env, path string) ([]tsp.Imprint, error) {
	r, err := env.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	progress := env.Progress("hashing "+path, 0)
	defer progress.End()
	var sums []hash.Hash
	var writers []io.Writer
	for _, h := range hashes {
		sum := h.New()
		sums, writers = append(sums, sum), append(writers, sum)
	}
	if _, err := io.Copy(io.MultiWriter(writers...), progress.Reader(r)); err != nil {
		return nil, err
	}
	var list []tsp.Imprint
	for i, h := range hashes {
		m, err := tsp.NewImprint(h, sums[i].Sum(nil))
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// tokenDigest returns the SHA-256 of the token in a file.
func tokenDigest(env *cli.Env, path string) (string, error) {
	data, err := env.ReadFile(path, 2*tsp.MaxMessage)
	if err != nil {
		return "", err
	}
	m, err := tsp.ParseAny(data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if m.Request != nil {
		return "", fmt.Errorf("%s is a request, not a timestamp", path)
	}
	token, err := m.TimeStampToken()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(token.Raw)
	return hex.EncodeToString(sum[:]), nil
}

// onlyTokens says that nothing else can be found.
func (q *query) onlyTokens() bool { return len(q.kinds) == 1 && q.kinds[0] == audit.KindToken }

// matches says whether what package audit found is what is looked for.
func (q *query) matches(e *audit.Entry) bool {
	if q.kinds != nil && !slices.Contains(q.kinds, e.Kind) {
		return false
	}
	tokenOnly := q.serials != nil || q.digests != nil || q.imprints != nil
	switch r := e.Record.(type) {
	case *audit.Token:
		return (q.serials == nil || slices.ContainsFunc(q.serials, func(n []byte) bool { return bytes.Equal(n, bytes.TrimLeft(r.Serial, "\x00")) })) &&
			(q.digests == nil || slices.ContainsFunc(q.digests, func(d []byte) bool { return bytes.Equal(d, r.Digest) })) &&
			(q.imprints == nil || slices.ContainsFunc(q.imprints, func(m tsp.Imprint) bool {
				return m.AlgorithmName() == r.Algorithm && bytes.Equal(m.Digest, r.Digest)
			})) &&
			(q.certificate == nil || bytes.Equal(q.certificate, r.Certificate[:])) &&
			(q.clockState == "" || q.clockState == r.ClockState)
	case *audit.Key:
		return !tokenOnly && q.clockState == "" && (q.certificate == nil || bytes.Equal(q.certificate, r.Certificate[:]))
	case *audit.Clock:
		return !tokenOnly && q.certificate == nil && (q.clockState == "" || q.clockState == r.State)
	}
	return !tokenOnly && q.certificate == nil && q.clockState == ""
}
