package pkcs11

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const module0 = "module-path=/m.so"

var goodURIs = []struct {
	name, in string
	want     URI
	out      string // as printed; "" means as in
}{
	{"usual", "token=tsa;object=k?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/pin",
		URI{Token: "tsa", Object: "k", ModulePath: "/usr/lib/softhsm/libsofthsm2.so", PINFile: "/run/pin"}, ""},
	{"nothing selected", "?" + module0, URI{ModulePath: "/m.so"}, ""},
	{"every attribute", "token=t;manufacturer=m;serial=s;model=o;library-manufacturer=lm;library-description=ld;library-version=2.40;" +
		"slot-manufacturer=sm;slot-description=sd;slot-id=12;object=b;id=%00%FF;type=private?" + module0 + "&pin-source=env:PIN",
		URI{Token: "t", Manufacturer: "m", Serial: "s", Model: "o", LibraryManufacturer: "lm", LibraryDescription: "ld", LibraryVersion: "2.40",
			SlotManufacturer: "sm", SlotDescription: "sd", SlotID: "12", Object: "b", ID: "\x00\xff", Type: "private", ModulePath: "/m.so", PINEnv: "PIN"}, ""},
	{"any order", "object=k;token=t?pin-source=/p&" + module0,
		URI{Token: "t", Object: "k", ModulePath: "/m.so", PINFile: "/p"}, "token=t;object=k?" + module0 + "&pin-source=/p"},
	{"encoded", "token=My%20token%3b%2F%3F;object=%C3%a4?" + module0,
		URI{Token: "My token;/?", Object: "ä", ModulePath: "/m.so"}, "token=My%20token%3B%2F%3F;object=%C3%A4?" + module0},
	{"plain characters", "token=:[]@!$'()*+,=&-._~?" + module0, URI{Token: ":[]@!$'()*+,=&-._~", ModulePath: "/m.so"}, ""},
	{"plain characters in the query", "?module-path=/:[]@!$'()*+,=/?|-._~", URI{ModulePath: "/:[]@!$'()*+,=/?|-._~"}, ""},
	{"id of letters", "id=ab?" + module0, URI{ID: "ab", ModulePath: "/m.so"}, "id=%61%62?" + module0},
	{"version without minor", "library-version=2?" + module0, URI{LibraryVersion: "2.0", ModulePath: "/m.so"}, "library-version=2.0?" + module0},
	{"slot with zeros", "slot-id=007?" + module0, URI{SlotID: "7", ModulePath: "/m.so"}, "slot-id=7?" + module0},
	{"PIN by file URI", "?" + module0 + "&pin-source=file:/run/a%2520b",
		URI{ModulePath: "/m.so", PINFile: "/run/a b"}, "?" + module0 + "&pin-source=/run/a%20b"},
	{"PIN by long file URI", "?" + module0 + "&pin-source=file:///run/pin", URI{ModulePath: "/m.so", PINFile: "/run/pin"}, "?" + module0 + "&pin-source=/run/pin"},
	{"PIN on localhost", "?" + module0 + "&pin-source=file://localhost/pin", URI{ModulePath: "/m.so", PINFile: "/pin"}, "?" + module0 + "&pin-source=/pin"},
	{"longest label", "token=" + strings.Repeat("x", 32) + "?" + module0, URI{Token: strings.Repeat("x", 32), ModulePath: "/m.so"}, ""},
}

const secret = "hunter2"

var badURIs = []struct {
	name, in string
	kind     fault.Kind
	message  string // part of it
	hint     string // part of it
}{
	{"empty", "", fault.Malformed, "no module-path", "/usr/lib/softhsm/libsofthsm2.so"},
	{"no module", "token=t;object=k", fault.Malformed, "no module-path", "add ?module-path="},
	{"module by name", "token=t?module-name=softhsm2", fault.Unsupported, "module-name: libraries are not searched for", "module-path=/usr/lib/.../softhsm2.so"},
	{"relative module", "token=t?module-path=libsofthsm2.so", fault.Malformed, `"libsofthsm2.so" is not absolute`, "whole path"},
	{"PIN", "token=t?pin-value=" + secret, fault.Malformed, "pin-value: a PIN does not belong", "pin-source=/run/secrets/pin"},
	{"PIN in the path", "token=t;pin-value=" + secret + "?" + module0, fault.Malformed, "pin-value", "pin-source"},
	{"PIN as source", "token=t?" + module0 + "&pin-source=" + secret, fault.Malformed, "neither an absolute path nor a variable", "env: and the name"},
	{"PIN as source of a file URI", "token=t?" + module0 + "&pin-source=file:" + secret, fault.Malformed, "neither an absolute path", ""},
	{"PIN on a host", "token=t?" + module0 + "&pin-source=file://h/" + secret, fault.Malformed, "another host", ""},
	{"PIN from a command", "token=t?" + module0 + "&pin-source=|/bin/echo%20" + secret, fault.Unsupported, "a command; none is run", "absolute path"},
	{"PIN from no variable", "token=t?" + module0 + "&pin-source=env:", fault.Malformed, "without the name", ""},
	{"PIN from a bad variable", "token=t?" + module0 + "&pin-source=env:1X", fault.Malformed, "without the name", ""},
	{"PIN file with NUL", "token=t?" + module0 + "&pin-source=/a%00", fault.Malformed, "neither", ""},
	{"two PINs", "?" + module0 + "&pin-source=/a&pin-source=env:B", fault.Malformed, "pin-source twice", ""},
	{"two modules", "?" + module0 + "&" + module0, fault.Malformed, "module-path twice", ""},
	{"module with NUL", "?module-path=/m%00", fault.Malformed, "NUL", ""},
	{"long module", "?module-path=/" + strings.Repeat("x", 4096), fault.Malformed, "4097 bytes", ""},
	{"twice", "token=a;token=a?" + module0, fault.Malformed, "token twice", ""},
	{"empty value", "token=?" + module0, fault.Malformed, `"token": no value`, ""},
	{"no value", "token?" + module0, fault.Malformed, `"token": no value`, ""},
	{"empty attribute", "token=a;?" + module0, fault.Malformed, "an empty attribute", ""},
	{"empty query", "token=a?", fault.Malformed, "an empty attribute", ""},
	{"unknown", "tokn=a?" + module0, fault.Malformed, `unknown attribute "tokn"`, "RFC 7512"},
	{"upper case", "Token=a?" + module0, fault.Malformed, `unknown attribute "Token"`, "lower case"},
	{"vendor", "x-acme-pool=a?" + module0, fault.Unsupported, `the vendor attribute "x-acme-pool"`, "leave it out"},
	{"vendor in the query", "token=a?" + module0 + "&x-flag=a", fault.Unsupported, `"x-flag"`, ""},
	{"unknown in the query", "token=a?" + module0 + "&slot=1", fault.Malformed, `"slot"`, ""},
	{"query attribute in the path", "token=a;" + module0, fault.Malformed, "module-path", ""},
	{"pin-source in the path", "token=a;pin-source=env:X", fault.Malformed, "pin-source belongs after", ""},
	{"path attribute in the query", "token=a?object=k&" + module0, fault.Malformed, "object belongs before", ""},
	{"semicolons in the query", "token=a?" + module0 + ";pin-source=/p", fault.Malformed, `";" has to be percent encoded`, ""},
	{"slash in the path", "token=a/b?" + module0, fault.Malformed, `"/" has to be percent encoded`, ""},
	{"blank", "token=a b?" + module0, fault.Malformed, `" " has to be`, ""},
	{"fragment", "token=a?" + module0 + "#x", fault.Malformed, `"#" has to be`, ""},
	{"not ASCII", "token=ä?" + module0, fault.Malformed, `"\xc3" has to be`, ""},
	{"bad escape", "token=%4?" + module0, fault.Malformed, `"token": malformed percent encoding`, ""},
	{"bad digits", "token=%4g?" + module0, fault.Malformed, "malformed percent encoding", ""},
	{"signed digits", "token=%+1?" + module0, fault.Malformed, "malformed percent encoding", ""},
	{"long label", "token=" + strings.Repeat("x", 33) + "?" + module0, fault.Malformed, "token of 33 bytes; it has at most 32", ""},
	{"long serial", "serial=" + strings.Repeat("1", 17) + "?" + module0, fault.Malformed, "serial of 17 bytes", ""},
	{"not UTF-8", "object=%ff?" + module0, fault.Malformed, "object: not UTF-8", ""},
	{"control character", "object=a%1b?" + module0, fault.Malformed, "object: a control character", ""},
	{"slot", "slot-id=-1?" + module0, fault.Malformed, "slot-id: not a number", ""},
	{"slot too large", "slot-id=99999999999999999999?" + module0, fault.Malformed, "slot-id: not a number", ""},
	{"version", "library-version=2.x?" + module0, fault.Malformed, "library-version: not a version", ""},
	{"version in three parts", "library-version=2.1.0?" + module0, fault.Malformed, "library-version", ""},
	{"version too large", "library-version=256?" + module0, fault.Malformed, "library-version", ""},
	{"public key", "object=k;type=public?" + module0, fault.Unfit, "type: public: only a private key signs", "type=private"},
	{"certificate", "object=k;type=cert?" + module0, fault.Unfit, "type: cert", ""},
	{"no type", "object=k;type=key?" + module0, fault.Malformed, "type: want private", ""},
	{"too long", strings.Repeat("x", maxURI+1), fault.Malformed, "want at most 16384", ""},
}

func TestParseURI(t *testing.T) {
	for _, tt := range goodURIs {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseURI(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("ParseURI(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
			}
			want := tt.out
			if want == "" {
				want = tt.in
			}
			if s := got.String(); s != want {
				t.Errorf("ParseURI(%q).String() = %q; want %q", tt.in, s, want)
			}
		})
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, tt := range badURIs {
		t.Run(tt.name, func(t *testing.T) {
			u, err := ParseURI(tt.in)
			if err == nil || u != (URI{}) {
				t.Fatalf("ParseURI(%q) = %+v, %v; want an error", tt.in, u, err)
			}
			checkFault(t, err, tt.kind, tt.message, tt.hint)
			if strings.Contains(err.Error()+fault.HintOf(err), secret) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// checkFault checks an error that an operator reads: its kind, and parts of
// its message and of its hint.
func checkFault(t *testing.T, err error, kind fault.Kind, message, hint string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("got %v (%T); want a fault", err, err)
	}
	if f.Kind != kind {
		t.Errorf("%v: kind %q; want %q", err, f.Kind, kind)
	}
	if !strings.Contains(err.Error(), message) {
		t.Errorf("message %q; want it to contain %q", err, message)
	}
	if got := fault.HintOf(err); !strings.Contains(got, hint) || strings.Contains(got, "\n") || strings.HasSuffix(got, ".") {
		t.Errorf("%v: hint %q; want one line that contains %q", err, got, hint)
	}
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
		u, err := ParseURI(in)
		if err != nil {
			if u != (URI{}) {
				t.Errorf("ParseURI(%q) = %+v with the error %v", in, u, err)
			}
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("ParseURI(%q): %v is no fault", in, err)
			}
			return
		}
		out := u.String()
		if len(out) > maxURI {
			return // escaping made it longer than what is read
		}
		again, err := ParseURI(out)
		if err != nil || again != u {
			t.Errorf("ParseURI(%q) = %+v, printed %q, which is %+v, %v", in, u, out, again, err)
		}
		if s := again.String(); s != out {
			t.Errorf("printed %q, then %q", out, s)
		}
	})
}

func TestReadPIN(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) URI {
		t.Helper()
		f, err := os.CreateTemp(dir, "pin")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(content); err != nil {
			t.Fatal(err)
		}
		return URI{PINFile: f.Name()}
	}
	env := Config{LookupEnv: func(name string) (string, bool) {
		return map[string]string{"PIN": "1234", "EMPTY": ""}[name], name == "PIN" || name == "EMPTY"
	}}
	for _, tt := range []struct {
		name    string
		uri     URI
		cfg     Config
		want    string
		message string
		hint    string
	}{
		{"file", file("1234"), Config{}, "1234", "", ""},
		{"line", file("1234\n"), Config{}, "1234", "", ""},
		{"line of Windows", file("1234\r\n"), Config{}, "1234", "", ""},
		{"blanks count", file(" 12 34 \n"), Config{}, " 12 34 ", "", ""},
		{"longest", file(strings.Repeat("9", maxPIN) + "\r\n"), Config{}, strings.Repeat("9", maxPIN), "", ""},
		{"variable", URI{PINEnv: "PIN"}, env, "1234", "", ""},
		{"none", URI{}, env, "", "the URI names none", "add pin-source="},
		{"no file", URI{PINFile: filepath.Join(dir, "none")}, Config{}, "", "none: no such file", "on one line"},
		{"directory", URI{PINFile: dir}, Config{}, "", "is a directory", ""},
		{"empty file", file("\n"), Config{}, "", "is empty", ""},
		{"two lines", file("1234\n" + secret + "\n"), Config{}, "", "more than one line", "nothing else"},
		{"NUL", file("1234\x00" + secret), Config{}, "", "a NUL byte", ""},
		{"too long", file(strings.Repeat("9", maxPIN+1)), Config{}, "", "256 bytes; a PIN has at most 255", ""},
		{"far too long", file(strings.Repeat("9", 1<<20)), Config{}, "", "a PIN has at most 255", ""},
		{"no variable", URI{PINEnv: "OTHER"}, env, "", "the variable OTHER, which holds the PIN, is not set", "set OTHER"},
		{"no variables", URI{PINEnv: "PIN"}, Config{}, "", "is not set", ""},
		{"empty variable", URI{PINEnv: "EMPTY"}, env, "", "the variable EMPTY is empty", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readPIN(opOpen, tt.uri, tt.cfg)
			if got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			if tt.message == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkFault(t, err, fault.Credentials, tt.message, tt.hint)
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}
