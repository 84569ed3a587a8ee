package kms_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// exponentThree is an RSA key of 2048 bits whose public exponent is 3.
const exponentThree = `-----BEGIN TESTING KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC/gtrUs2x6lXLJ
pPXm5n9OsGOSyvlfrvHpDk675ijVlkr2zFE/DIzcHC5oF6KNGyMLLnz4Y01FOmAG
XGygb97CRQY0HZPkznuwczwBh4GdE9fO4aKpQcBJCrpizHGduYKLwfgbEldEr1JO
ztXPK4JFM6B/cLZZ2lCjkDfWYwbj9C05NxnpNQ646k9hI0rMZN4MSB375e+4MblY
VAq8NL2HmNv0IiYGsBAz3K9OAnaJLtLyWFLKIqVJGoqL0JcKog9q0PFmzjONdaP3
fu7zJ9n1q3VWkCfs3KyaQyThNqBdykmATpjqapoxv7Tc6OusYSQbmKYHgpJCM+VP
Bill39JJAgEDAoIBAH+skeMiSFG49zEYo+9EVN8gQmHcpj/J9pte3yfuxeO5h08y
4NSzCJK9dEVlFwi8wgd0U1BCM4N8QAQ9ncBKlIGDWXgTt+3e/SBM0quvq74NOonr
wcYr1YYHJuyIS757rF0r+ry25Nh04YnfOTTHrC4iav+geZE8NcJgJTmXWe1MSiSe
t7wWDiF4czrUwK38+FGDx4TEFMiPo8/XRt0VieyouRqNCyF6eblCLde+/8YxBOkJ
0lx6YiOr6NWh+BVucFcWWweqq/+8ufy/SfgqnMc/vspd3nPgmqSSFRhscljn6+jm
s/3d3+2+iEE5OazuPfwMQMQtKppL1yNL0A1xlqsCgYEA+Yo+5ORoqdckbfudqPIn
A+W5EZ7vXpuIsyYzNdmL9Yi9X+d8DzqHFAasQoeguxRMTTlb26V6bnKlPrOErnB4
OO4hvNZokW5Ctn/p+lpoi84NPdBoN7CsuFzAR/FMTBDKMZdRpK6m4ShPmeeMr65J
zsI6yAqP1sNolZzPJw5oRAkCgYEAxHgKIWqrT6+RNI1GgNVCZaxJYRXQce/RkHpd
6pcIeRveZmTShhnxRZdNKALDO8uY/lttu5nwo6DzbpfY9HoELfoNrATloB+X1nx2
BaR/Yvy+mVabIo5fDEanvUtHqMekNgui5j726STSTpOGZXqx+F9LfNau+5dZjP1F
SkNNLEECgYEAplwp7e2bG+TC8/0TxfbErUPQtmn06b0FzMQiI+ZdTlso6ppStNGv
Yq8dga/AfLgy3iY9PRj8SaHDfyJYdEr60J7BKI7wYPQseaqb/DxFsoleKTWaz8sd
0D3VhUuIMrXcIQ+Lwx8Z63A1EUUIdR7b3ywnMAcKjyzwY73fb17wLVsCgYEAgvqx
a5xyNR+2IwjZqzjW7nLblg6K9p/hCvw+nGSwUL0+7u3hrrv2LmTeGqyCJ90QqZJJ
J7v1wmtM9GU7Taatc/wJHViZFWplOahOrm2qQf3UZjm8wbQ/XYRv04eFGy/CzrJs
mX9PRhiMNGJZmPx2pZTc/eR0p7o7s1ODhteIyCsCgYEA7OjJ1vIO/MHNkI4/80uN
+WwZrdT8yGJYfi1RIAMxZsol0h2Zmm3HuRzqfzeuR1JYkayPkLGc5Wo1q0qSkjWw
EWK3JNTy/wvl4r1z5XBBfTFrlAqrpOeIo8JveHu+NdS+RYG5j6Pof5YxjfdFr2Tn
SpD1NWHSU+RLfrGJrK7762o=
-----END TESTING KEY-----
`

// TestFIPS holds that a key which FIPS 140-3 does not approve is opened without
// its mode, and refused in it, which is chosen where a process starts.
func TestFIPS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e3.key")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(exponentThree, "TESTING KEY", "PRIVATE KEY")), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := kms.Open(t.Context(), signer.URI{Scheme: signer.SchemeFile, Path: path}, kms.Config{})
	if mode := fips.Current(); mode != fips.Off {
		if err == nil || fault.KindOf(err) != fault.Unfit || !strings.Contains(err.Error(), "exponent 3") ||
			!strings.Contains(err.Error(), "fips140="+string(mode)) || !strings.Contains(fault.HintOf(err), "65537") {
			t.Errorf("got %v (kind %s, hint %q)", err, fault.KindOf(err), fault.HintOf(err))
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Close(); err != nil {
		t.Error(err)
	}
	for _, mode := range []fips.Mode{fips.On, fips.Only} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+string(mode))
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}
