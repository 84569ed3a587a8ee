package tsp_test

import (
	"bytes"
	"crypto"
	_ "crypto/md5"
	_ "crypto/sha1"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestNewImprint(t *testing.T) {
	for _, tt := range []struct {
		hash crypto.Hash
		size int
		ok   bool
	}{
		{crypto.SHA256, 32, true}, {crypto.SHA384, 48, true}, {crypto.SHA512, 64, true},
		{crypto.SHA3_256, 32, true}, {crypto.SHA3_384, 48, true}, {crypto.SHA3_512, 64, true},
		{crypto.SHA256, 31, false}, {crypto.SHA256, 33, false}, {crypto.SHA256, 0, false}, {crypto.SHA512, 32, false},
		{crypto.MD5, 16, false}, {crypto.SHA1, 20, false}, {crypto.SHA224, 28, false}, {crypto.SHA512_256, 32, false},
		{crypto.BLAKE2b_256, 32, false}, {0, 0, false}, {1000, 32, false},
	} {
		digest := bytes.Repeat([]byte{7}, tt.size)
		m, err := tsp.NewImprint(tt.hash, digest)
		if (err == nil) != tt.ok {
			t.Errorf("NewImprint(%d, %d octets): error %v, want ok %v", tt.hash, tt.size, err, tt.ok)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "tsp: ") || m.Digest != nil {
				t.Errorf("NewImprint(%d, %d octets) = %v, %v", tt.hash, tt.size, m, err)
			}
			continue
		}
		digest[0]++ // the imprint has its own copy
		if m.Digest[0] != 7 || m.Hash != tt.hash || m.AlgorithmName() != tt.hash.String() || !oid.Is(m.Algorithm(), oid.OfHash(tt.hash)) {
			t.Errorf("NewImprint(%v) = %+v, named %s, %v", tt.hash, m, m.AlgorithmName(), m.Algorithm())
		}
	}
}

func TestReadImprint(t *testing.T) {
	m, err := tsp.ReadImprint(crypto.SHA256, iotest.OneByteReader(strings.NewReader(tsptest.Artifact)))
	if err != nil || !m.Equal(tsptest.Imprint()) {
		t.Errorf("ReadImprint = %v, %v; want %v", m, err, tsptest.Imprint())
	}
	if _, err := tsp.ReadImprint(crypto.SHA1, strings.NewReader("x")); err == nil {
		t.Error("ReadImprint with SHA-1 is accepted")
	}
	broken := errors.New("disk on fire")
	if _, err := tsp.ReadImprint(crypto.SHA256, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("ReadImprint of a broken reader: %v", err)
	}
}

func TestImprintEqual(t *testing.T) {
	parse := func(imprint []byte) tsp.Imprint {
		t.Helper()
		r := tsptest.NewRequestFields()
		r.Imprint = imprint
		req, err := tsp.ParseRequest(r.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		return req.Imprint
	}
	digest := tsptest.Imprint().Digest
	null := []byte("\x05\x00")
	withNull := parse(tsptest.RawImprint(oid.SHA256, null, digest))
	absent := parse(tsptest.RawImprint(oid.SHA256, nil, digest))
	unknown := parse(tsptest.RawImprint("\x2a\x03\x04", nil, digest))
	for _, tt := range []struct {
		name string
		a, b tsp.Imprint
		want bool
	}{
		{"made and NULL", tsptest.Imprint(), withNull, true},
		{"made and absent", tsptest.Imprint(), absent, true},
		{"NULL and absent", withNull, absent, true},
		{"other digest", withNull, parse(tsptest.RawImprint(oid.SHA256, null, make([]byte, 32))), false},
		{"other hash of the same length", withNull, parse(tsptest.RawImprint(oid.SHA3_256, null, digest)), false},
		{"known and unknown hash", withNull, unknown, false},
		{"same unknown hash", unknown, parse(tsptest.RawImprint("\x2a\x03\x04", nil, digest)), true},
		{"two unknown hashes", unknown, parse(tsptest.RawImprint("\x2a\x03\x05", nil, digest)), false},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want || tt.b.Equal(tt.a) != got {
			t.Errorf("%s: Equal is %v, want %v", tt.name, got, tt.want)
		}
	}
	// What came is what goes out: "MUST have the same value" (RFC 3161, 2.4.2).
	if bytes.Equal(withNull.RawAlgorithm(), absent.RawAlgorithm()) {
		t.Error("NULL and absent parameters are encoded alike")
	}
	if unknown.AlgorithmName() != "1.2.3.4" || unknown.Hash != 0 || unknown.Algorithm().String() != "1.2.3.4" {
		t.Errorf("the unknown hash is called %s, %v, %v", unknown.AlgorithmName(), unknown.Hash, unknown.Algorithm())
	}
}
