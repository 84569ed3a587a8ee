package signer_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// keyBlocks calls f with every test file, good and bad.
func keyBlocks(tb testing.TB, f func(data []byte)) {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.pem")
	if err != nil || len(files) == 0 {
		tb.Fatal("no key files: ", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		f(testingKey(data))
	}
}

// checkRoundTrip holds for every input: an error comes without a key, and a
// key is written the same way however often it was written and read.
func checkRoundTrip(t *testing.T, data []byte) {
	// Without a passphrase no key is derived, so that each try is cheap; all
	// parsing of an encrypted key comes before.
	k, err := signer.ParsePEM(data, signer.Config{})
	if err != nil {
		if k != nil {
			t.Error("a key came with an error")
		}
		return
	}
	first, err := signer.MarshalPEM(k, nil)
	if err != nil {
		t.Fatalf("a key that was read cannot be written: %v", err)
	}
	again, err := signer.ParsePEM(first, signer.Config{})
	if err != nil {
		t.Fatalf("a key that was written cannot be read: %v", err)
	}
	second, err := signer.MarshalPEM(again, nil)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("written twice:\n%s\n%s\n%v", first, second, err)
	}
}

func FuzzParsePEM(f *testing.F) {
	keyBlocks(f, func(data []byte) { f.Add(data) })
	f.Fuzz(checkRoundTrip)
}

// FuzzParseBlock gets past the base64 that FuzzParsePEM stumbles over.
func FuzzParseBlock(f *testing.F) {
	keyBlocks(f, func(data []byte) {
		for {
			var b *pem.Block
			if b, data = pem.Decode(data); b == nil {
				return
			}
			f.Add(b.Type, b.Bytes)
		}
	})
	f.Fuzz(func(t *testing.T, label string, body []byte) {
		checkRoundTrip(t, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: body}))
	})
}

// FuzzParseURI: what parses, prints and parses to the same.
func FuzzParseURI(f *testing.F) {
	for _, tt := range goodURIs {
		f.Add(tt.in)
	}
	for _, tt := range badURIs {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		u, err := signer.ParseURI(in)
		if err != nil {
			if !reflect.DeepEqual(u, signer.URI{}) {
				t.Errorf("ParseURI(%q) = %#v with the error %v", in, u, err)
			}
			return
		}
		out := u.String()
		if len(out) > 16<<10 {
			return // escaping made it longer than what is read
		}
		again, err := signer.ParseURI(out)
		if err != nil || !reflect.DeepEqual(again, u) {
			t.Errorf("ParseURI(%q) = %#v, printed %q, which is %#v, %v", in, u, out, again, err)
		}
	})
}
