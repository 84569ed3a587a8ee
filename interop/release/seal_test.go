package release

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A page's blocks are the commands between <!-- verify --> and <!-- /verify -->.
func verifyBlocks(t *testing.T) (blocks []string) {
	t.Helper()
	rest := string(read(t, root, "doc/releasing.md"))
	for {
		_, after, found := strings.Cut(rest, "<!-- verify -->\n```sh\n")
		if !found {
			break
		}
		block, after, found := strings.Cut(after, "```\n<!-- /verify -->")
		if !found {
			t.Fatal("doc/releasing.md: a verify block does not end")
		}
		blocks, rest = append(blocks, block), after
	}
	if len(blocks) != 2 {
		t.Fatalf("doc/releasing.md has %d verify blocks, want that of openssl and that of fencepost", len(blocks))
	}
	return blocks
}

// sealed signs and stamps what was built, and checks it as the page about releases says, good and bad.
func sealed(t *testing.T, repository, out, bin string) {
	seal, fencepost := repository+"/deploy/release/seal", filepath.Join(bin, "fencepost")
	url, chain := authority(t, fencepost)
	otherURL, otherChain := authority(t, fencepost)

	keys := t.TempDir()
	key, public := keyPair(t, fencepost, keys, "release", "p256")
	otherKey, _ := keyPair(t, fencepost, keys, "other", "p256")
	rsaKey, _ := keyPair(t, fencepost, keys, "rsa", "rsa3072")
	edKey, _ := keyPair(t, fencepost, keys, "ed", "ed25519")

	openssl, ours := verifyBlocks(t)[0], verifyBlocks(t)[1]
	shell := func(dir string) command {
		return command{dir: dir, env: []string{"PATH=" + bin + ":" + os.Getenv("PATH")}}
	}
	// prepare gives a folder with the small files of the release, and with what its reader has from elsewhere.
	prepare := func(t *testing.T) string {
		dir := t.TempDir()
		for _, name := range []string{"SHA256SUMS", bom, "SHA256SUMS.sig", "SHA256SUMS.sig.tsr"} {
			data, err := os.ReadFile(filepath.Join(out, name))
			if os.IsNotExist(err) {
				continue // not sealed yet
			} else if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name), data)
		}
		write(t, filepath.Join(dir, "fencepost-release.pub"), read(t, public))
		write(t, filepath.Join(dir, "release-tsa.pem"), read(t, chain))
		return dir
	}

	// What cannot be sealed leaves nothing behind.
	stray := filepath.Join(out, "fencepost_stray.tar.gz")
	for _, row := range []struct {
		name, text string
		args       []string
		before     func(t *testing.T)
		after      func(t *testing.T)
	}{
		{"a file that is not listed", "has other files than SHA256SUMS lists", []string{out, key, url, chain},
			func(t *testing.T) { write(t, stray, []byte("x")) }, func(t *testing.T) { remove(t, stray) }},
		{"a file that was changed", "computed checksum did NOT match", []string{out, key, url, chain},
			func(t *testing.T) { flip(t, filepath.Join(out, bom)) }, func(t *testing.T) { flip(t, filepath.Join(out, bom)) }},
		{"a key that openssl dgst cannot check", "ECDSA and RSA only", []string{out, edKey, url, chain}, nil, nil},
		{"a key that is not there", "no such file", []string{out, "file:" + keys + "/none.pem", url, chain}, nil, nil},
		{"an authority that is not there", "connection refused", []string{out, key, "http://127.0.0.1:1", chain}, nil, nil},
		{"the chain of another authority", "verif", []string{out, key, url, otherChain}, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.before != nil {
				row.before(t)
				defer row.after(t)
			}
			command{}.refuse(t, row.text, append([]string{seal}, row.args...)...)
			for _, name := range []string{"SHA256SUMS.sig", "SHA256SUMS.sig.tsr"} {
				if _, err := os.Stat(filepath.Join(out, name)); !os.IsNotExist(err) {
					t.Errorf("%s is there: %v", name, err)
				}
			}
		})
	}

	command{}.accept(t, seal, out, key, url, chain)
	good := shell(prepare(t))
	text := good.accept(t, "bash", "-euo", "pipefail", "-c", openssl)
	for _, want := range []string{"Verified OK", "Verification: OK", "Time stamp:", bom + ": OK"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	good.accept(t, "bash", "-euo", "pipefail", "-c", ours)
	// The whole folder as well, with all that is large.
	command{dir: out}.accept(t, "sha256sum", "--check", "--strict", "SHA256SUMS")

	stamp := func(t *testing.T, dir, url, chain string) {
		command{dir: dir}.accept(t, fencepost, "timestamp", "create", "--force", "--tsa", url, "--chain", chain, "SHA256SUMS.sig")
	}
	sums := func(t *testing.T, dir string) {
		command{dir: dir}.accept(t, "sh", "-c", "sha256sum fencepost_* > SHA256SUMS")
	}
	sign := filepath.Join(t.TempDir(), "sign")
	command{env: []string{"GOWORK=off"}}.accept(t, "go", "build", "-C", repository+"/deploy/release", "-buildvcs=false", "-o", sign, "./sign")
	for _, row := range []struct {
		name   string
		attack func(t *testing.T, dir string)
		text   string // of openssl or sha256sum
		stamp  bool   // whether the timestamp itself is bad
	}{
		{"a byte of a file", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, bom)) }, bom + ": FAILED", false},
		{"a byte of a file, and its sum", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, bom)); sums(t, dir) }, "Verification failure", false},
		{"a byte of the sums", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "SHA256SUMS")) }, "Verification failure", false},
		{"a byte of the signature", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "SHA256SUMS.sig")) }, "Verification failure", true},
		// Not any byte will do: what the token carries of the chain beyond the signer's certificate nobody signed,
		// and nobody needs who has the chain.
		{"the time of the timestamp", func(t *testing.T, dir string) {
			flipAt(t, filepath.Join(dir, "SHA256SUMS.sig.tsr"), func(tsr []byte) int { return genTime.FindIndex(tsr)[1] - 1 })
		}, "Verification: FAILED", true},
		{"the signature of the timestamp", func(t *testing.T, dir string) {
			flipAt(t, filepath.Join(dir, "SHA256SUMS.sig.tsr"), func(tsr []byte) int { return len(tsr) - 1 })
		}, "Verification: FAILED", true},
		{"all anew with another key", func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, bom))
			sums(t, dir)
			command{dir: dir}.accept(t, sign, otherKey, "SHA256SUMS")
			stamp(t, dir, url, chain)
		}, "Verification failure", false},
		{"the stamp of another authority", func(t *testing.T, dir string) { stamp(t, dir, otherURL, otherChain) }, "Verification: FAILED", true},
		{"the stamp of another signature", func(t *testing.T, dir string) {
			command{dir: dir}.accept(t, sign, key, "SHA256SUMS")
		}, "message imprint mismatch", true},
		{"no file at all", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, bom)) }, "no file was verified", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := prepare(t)
			row.attack(t, dir)
			shell(dir).refuse(t, row.text, "bash", "-euo", "pipefail", "-c", openssl)
			if row.stamp {
				shell(dir).refuse(t, "SHA256SUMS.sig", "bash", "-euo", "pipefail", "-c", ours)
			}
		})
	}

	// An RSA key does as well, and replaces what was there.
	before := read(t, out, "SHA256SUMS.sig")
	command{}.accept(t, seal, out, rsaKey, url, chain)
	if bytes.Equal(before, read(t, out, "SHA256SUMS.sig")) {
		t.Error("sealing again left the old signature")
	}
	public = filepath.Join(keys, "rsa.pub")
	shell(prepare(t)).accept(t, "bash", "-euo", "pipefail", "-c", openssl)
}

// bom is the file that the tests alter, since it is small.
const bom = "fencepost_1.999.0-rc.1.cdx.json"

// keyPair makes a key, and returns its URI and the file of its public half.
func keyPair(t *testing.T, fencepost, dir, name, kind string) (uri, public string) {
	t.Helper()
	uri, public = "file:"+filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pub")
	command{}.accept(t, fencepost, "key", "create", "--type", kind, uri)
	command{}.accept(t, fencepost, "key", "show", "--out", public, uri)
	return uri, public
}

// flip inverts a bit in the middle of a file, so that doing it twice undoes it.
func flip(t *testing.T, name string) {
	t.Helper()
	flipAt(t, name, func(data []byte) int { return len(data) / 2 })
}

func flipAt(t *testing.T, name string, at func(data []byte) int) {
	t.Helper()
	data := read(t, name)
	data[at(data)] ^= 1
	write(t, name, data)
}

// genTime is the year of the first GeneralizedTime of a response (RFC 3161, 2.4.2); certificates of this
// century have UTCTime before 2050 (RFC 5280, 4.1.2.5.1).
var genTime = regexp.MustCompile(`\x18.20[0-9]{2}`)

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}
