package der

import (
	"testing"
	"time"
)

func TestParseGeneralizedTime(t *testing.T) {
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		name string
		in   string
		want time.Time // zero: refused
	}{
		{"seconds", "20260102030405Z", at("2026-01-02T03:04:05Z")},
		{"tenths", "20260102030405.6Z", at("2026-01-02T03:04:05.6Z")},
		{"nanoseconds", "20260102030405.000000001Z", at("2026-01-02T03:04:05.000000001Z")},
		{"all nines", "20260102030405.999999999Z", at("2026-01-02T03:04:05.999999999Z")},
		{"midnight is the next day's", "20260103000000Z", at("2026-01-03T00:00:00Z")},
		{"leap day", "20240229235959Z", at("2024-02-29T23:59:59Z")},
		{"leap day of a century", "20000229000000Z", at("2000-02-29T00:00:00Z")},
		{"first", "00010101000000Z", at("0001-01-01T00:00:00Z")},
		{"last", "99991231235959.9Z", at("9999-12-31T23:59:59.9Z")},

		{"year 0", "00000101000000Z", time.Time{}},
		{"month 0", "20260002030405Z", time.Time{}},
		{"month 13", "20261302030405Z", time.Time{}},
		{"day 0", "20260100030405Z", time.Time{}},
		{"day 32", "20260132030405Z", time.Time{}},
		{"30 February", "20260230000000Z", time.Time{}},
		{"29 February of a common year", "20260229000000Z", time.Time{}},
		{"29 February of a common century", "19000229000000Z", time.Time{}},
		{"31 April", "20260431000000Z", time.Time{}},
		{"hour 24", "20260102240000Z", time.Time{}},
		{"minute 60", "20260102036005Z", time.Time{}},
		{"second 60", "20161231235960Z", time.Time{}},
		{"second 61", "20161231235961Z", time.Time{}},
		{"comma", "20260102030405,6Z", time.Time{}},
		{"offset", "20260102030405+0100", time.Time{}},
		{"offset zero", "20260102030405+0000", time.Time{}},
		{"offset and Z", "20260102030405+00Z", time.Time{}},
		{"local", "20260102030405", time.Time{}},
		{"local with fraction", "20260102030405.6", time.Time{}},
		{"lower case z", "20260102030405z", time.Time{}},
		{"without seconds", "202601020304Z", time.Time{}},
		{"without minutes", "2026010203Z", time.Time{}},
		{"fraction of a minute", "202601020304.5Z", time.Time{}},
		{"trailing zero", "20260102030405.60Z", time.Time{}},
		{"zero fraction", "20260102030405.0Z", time.Time{}},
		{"point alone", "20260102030405.Z", time.Time{}},
		{"two points", "20260102030405.6.7Z", time.Time{}},
		{"ten digits", "20260102030405.1234567891Z", time.Time{}},
		{"letter in the date", "2026O102030405Z", time.Time{}},
		{"letter in the fraction", "20260102030405.6aZ", time.Time{}},
		{"sign", "+0260102030405Z", time.Time{}},
		{"space", "20260102030405 Z", time.Time{}},
		{"two-digit year", "260102030405Z", time.Time{}},
		{"five-digit year", "120260102030405Z", time.Time{}},
		{"NUL", "20260102030405\x00Z", time.Time{}},
		{"empty", "", time.Time{}},
		{"Z alone", "Z", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseGeneralizedTime([]byte(tt.in))
			if tt.want.IsZero() && tt.name != "first" {
				if err == nil || !got.IsZero() {
					t.Errorf("ParseGeneralizedTime(%q) = %v, %v; want an error", tt.in, got, err)
				}
				return
			}
			if err != nil || !got.Equal(tt.want) || got.Location() != time.UTC {
				t.Errorf("ParseGeneralizedTime(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
			}
			if again, ok := AppendGeneralizedTime(nil, got); !ok || string(again) != tt.in {
				t.Errorf("AppendGeneralizedTime(%v) = %q, %v; want %q", got, again, ok, tt.in)
			}
		})
	}
}

func TestAppendGeneralizedTime(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	got, ok := AppendGeneralizedTime([]byte("x"), time.Date(2026, 1, 1, 1, 0, 0, 0, zone))
	if !ok || string(got) != "x20251231230000Z" {
		t.Errorf("AppendGeneralizedTime = %q, %v; want it in UTC", got, ok)
	}
	for _, year := range []int{-1, 0, 10000} {
		if got, ok := AppendGeneralizedTime(nil, time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)); ok {
			t.Errorf("AppendGeneralizedTime of year %d = %q, want refused", year, got)
		}
	}
	// The year is that of UTC, not of the zone.
	if got, ok := AppendGeneralizedTime(nil, time.Date(10000, 1, 1, 1, 0, 0, 0, zone)); !ok || string(got) != "99991231230000Z" {
		t.Errorf("AppendGeneralizedTime = %q, %v; want 99991231230000Z", got, ok)
	}
}

// FuzzGeneralizedTime holds that one time has one encoding.
func FuzzGeneralizedTime(f *testing.F) {
	for _, s := range []string{"20260102030405Z", "20260102030405.6Z", "20240229235959.999999999Z", "00010101000000Z"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := ParseGeneralizedTime(in)
		if err != nil {
			return
		}
		if again, ok := AppendGeneralizedTime(nil, v); !ok || string(again) != string(in) {
			t.Errorf("%q is read as %v, which is written %q", in, v, again)
		}
	})
}
