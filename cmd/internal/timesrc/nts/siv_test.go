package nts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newSIV(t testing.TB, key []byte) *SIV {
	t.Helper()
	s, err := NewSIV(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The vectors of RFC 5297, appendix A.
func TestSIVVectors(t *testing.T) {
	for _, test := range []struct {
		name, key         string
		data              []string
		plaintext, sealed string
	}{
		{
			"A.1, deterministic",
			"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
			[]string{"101112131415161718191a1b1c1d1e1f2021222324252627"},
			"112233445566778899aabbccddee",
			"85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
		},
		{
			"A.2, with a nonce",
			"7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
			[]string{
				"00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
				"102030405060708090a0",
				"09f911029d74e35bd84156c5635688c0",
			},
			"7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
			"7bdb6e3b432667eb06f4d14bff2fbd0f" +
				"cb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSIV(t, unhex(t, test.key))
			var data [][]byte
			for _, d := range test.data {
				data = append(data, unhex(t, d))
			}
			plaintext, want := unhex(t, test.plaintext), unhex(t, test.sealed)
			if got := s.Seal(plaintext, data...); !bytes.Equal(got, want) {
				t.Errorf("Seal = %x, want %x", got, want)
			}
			if got, err := s.Open(want, data...); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("Open = %x, %v, want %x", got, err, plaintext)
			}
			if got, err := s.Open(want, data[1:]...); !errors.Is(err, ErrNotAuthentic) || got != nil {
				t.Errorf("Open with a string less = %x, %v, want ErrNotAuthentic", got, err)
			}
		})
	}
}

// The vectors of RFC 4493, section 4.
func TestCMAC(t *testing.T) {
	key := unhex(t, "2b7e151628aed2a6abf7158809cf4f3c2b7e151628aed2a6abf7158809cf4f3c")
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"+
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	s := newSIV(t, key)
	for _, test := range []struct {
		length int
		want   string
	}{
		{0, "bb1d6929e95937287fa37d129b756746"},
		{16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{40, "dfa66747de9ae63030ca32611497c827"},
		{64, "51f0bebf7e3b9d92fc49741779363cfe"},
	} {
		if got := s.cmac(message[:test.length]); !bytes.Equal(got[:], unhex(t, test.want)) {
			t.Errorf("cmac of %d octets = %x, want %s", test.length, got, test.want)
		}
	}
}

func TestSIVLimits(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		if s, err := NewSIV(make([]byte, n)); err == nil || s != nil {
			t.Errorf("NewSIV with a key of %d octets = %v, %v; want an error", n, s, err)
		}
	}
	s := newSIV(t, make([]byte, 32))
	for n := range 16 {
		if got, err := s.Open(make([]byte, n)); !errors.Is(err, ErrNotAuthentic) || got != nil {
			t.Errorf("Open of %d octets = %x, %v; want ErrNotAuthentic", n, got, err)
		}
	}
	most := make([][]byte, 126)
	if _, err := s.Open(s.Seal(nil, most...), most...); err != nil {
		t.Errorf("Open with 126 strings = %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Seal with 127 strings did not panic")
		}
	}()
	s.Seal(nil, make([][]byte, 127)...)
}

func FuzzSIV(f *testing.F) {
	f.Add([]byte("key"), []byte("plaintext"), []byte("data"), []byte("nonce"), uint16(0))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, uint16(77))
	f.Add(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16), bytes.Repeat([]byte{3}, 16), bytes.Repeat([]byte{4}, 17), uint16(200))
	f.Fuzz(func(t *testing.T, seed, plaintext, data, nonce []byte, flip uint16) {
		key := make([]byte, sivKeySize)
		copy(key, seed)
		s := newSIV(t, key)
		sealed := s.Seal(plaintext, data, nonce)
		if len(sealed) != len(plaintext)+16 {
			t.Fatalf("Seal of %d octets gave %d", len(plaintext), len(sealed))
		}
		if got, err := s.Open(sealed, data, nonce); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Open(Seal(%x)) = %x, %v", plaintext, got, err)
		}
		// One bit of all that is authenticated, wherever it is.
		all := bytes.Join([][]byte{sealed, data, nonce}, nil)
		bit := int(flip) % (8 * len(all))
		all[bit/8] ^= 1 << (bit % 8)
		n, m := len(sealed), len(sealed)+len(data)
		if got, err := s.Open(all[:n], all[n:m], all[m:]); !errors.Is(err, ErrNotAuthentic) || got != nil {
			t.Fatalf("Open with bit %d flipped = %x, %v", bit, got, err)
		}
	})
}

func BenchmarkSIVOpen(b *testing.B) {
	s := newSIV(b, make([]byte, 32))
	data, nonce := make([]byte, 84), make([]byte, 16)
	sealed := s.Seal(make([]byte, 800), data, nonce)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(sealed, data, nonce); err != nil {
			b.Fatal(err)
		}
	}
}
