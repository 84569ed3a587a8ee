package release

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// version is that of the release that the test makes. Debian writes it in another way.
const (
	version       = "v1.999.0-rc.1"
	debianVersion = "1.999.0~rc.1"
)

// targets are built unless it is everything: the server, one of the clients, and a package.
var targets = []string{"linux_amd64", "windows_amd64", "deb_amd64", "linux_amd64_fips"}

func TestRelease(t *testing.T) {
	repository := tagged(t)
	out := filepath.Join(t.TempDir(), "out")
	first := []string{repository + "/deploy/release/build"}
	if !*everything {
		first = append(first, named(targets)...)
	}
	command{}.accept(t, append(first, version, out)...)
	bin := unpack(t, out, "linux_amd64")

	t.Run("reproducible", func(t *testing.T) { reproducible(t, repository, out) })
	t.Run("binaries", func(t *testing.T) { binaries(t, repository, out, bin) })
	t.Run("bill of materials", func(t *testing.T) { billOfMaterials(t, out, bin) })
	t.Run("package", func(t *testing.T) { debianPackage(t, out, bin) })
	t.Run("sealed", func(t *testing.T) { sealed(t, repository, out, bin) })
	t.Run("refused", func(t *testing.T) { refusedBuilds(t, repository, out) })
}

func named(targets []string) (options []string) {
	for _, target := range targets {
		options = append(options, "-t", target)
	}
	return options
}

// tagged returns a clone of our repository in which the tree as it is here is a commit and has a tag.
func tagged(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fencepost")
	command{}.accept(t, "git", "clone", "-q", "--no-hardlinks", abs(t, root), dir)
	git := command{dir: dir, env: []string{
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@fencepost-tsa.example",
		"GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@fencepost-tsa.example",
	}}
	git.accept(t, "git", "rm", "-rq", ".")
	for name := range strings.SplitSeq(command{dir: root}.accept(t, "git", "ls-files", "-z", "-co", "--exclude-standard"), "\x00") {
		info, err := os.Stat(filepath.Join(root, name))
		if name == "" || os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, read(t, root, name), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	git.accept(t, "git", "add", "-A")
	git.accept(t, "git", "commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "a tree to release")
	git.accept(t, "git", "tag", "--no-sign", "-f", version)
	return dir
}

// unpack returns a folder with the content of an archive.
func unpack(t *testing.T, out, target string) string {
	t.Helper()
	dir := t.TempDir()
	name := "fencepost_" + version[1:] + "_" + target
	command{}.accept(t, "tar", "-xzf", filepath.Join(out, name+".tar.gz"), "-C", dir)
	return filepath.Join(dir, name)
}

// reproducible builds again: in another folder, with nothing compiled before, and for someone with other
// settings.
func reproducible(t *testing.T, repository, out string) {
	other := filepath.Join(t.TempDir(), "somewhere", "else")
	command{}.accept(t, "git", "clone", "-q", "--no-hardlinks", repository, other)
	tmp := filepath.Join(other, "..", "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	settings := command{env: []string{
		"TMPDIR=" + tmp, "TZ=Pacific/Kiritimati", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=1",
		"GOFLAGS=-tags=nobody -trimpath=false", "GOAMD64=v3", "GOARM=5", "CGO_CFLAGS=-O0", "CGO_ENABLED=1", "NOTICES=/dev/null",
	}}
	shell := []string{"sh", "-c", `umask 077; exec "$0" "$@"`, other + "/deploy/release/build"}
	fromNothing := settings
	fromNothing.env = append(slices.Clone(settings.env), "RELEASE_GOCACHE="+t.TempDir())
	if *everything {
		again := filepath.Join(t.TempDir(), "again")
		fromNothing.accept(t, append(shell, version, again)...)
		same(t, out, again, "SHA256SUMS")
		return
	}
	for _, build := range []struct {
		command command
		target  string
		archive string
	}{
		{fromNothing, "linux_amd64", "linux_amd64.tar.gz"},
		{settings, "windows_amd64", "windows_amd64.zip"},
	} {
		again := filepath.Join(t.TempDir(), "again")
		build.command.accept(t, append(slices.Clone(shell), "-t", build.target, version, again)...)
		same(t, out, again, "fencepost_"+version[1:]+"_"+build.archive)
	}
}

func same(t *testing.T, out, again, name string) {
	t.Helper()
	if !bytes.Equal(read(t, out, name), read(t, again, name)) {
		t.Errorf("%s is another one when it is built again", name)
	}
}

// binaries holds what the programs say of themselves.
func binaries(t *testing.T, repository, out, bin string) {
	commit := strings.TrimSpace(command{dir: repository}.accept(t, "git", "rev-parse", "HEAD"))
	f, err := elf.Open(filepath.Join(bin, "timestamp-server"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("timestamp-server of linux_amd64 needs a dynamic loader")
		}
	}
	for _, row := range []struct {
		target, mode, module string
	}{
		{"linux_amd64", "off", "latest"},
		{"linux_amd64_fips", "on", "v1.0.0"},
	} {
		got := struct {
			Version, Revision string
			Modified          bool
			FIPS              struct{ Mode, Module string }
		}{}
		text := command{}.accept(t, filepath.Join(unpack(t, out, row.target), "fencepost"), "version", "--json")
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.Version != version || got.Revision != commit || got.Modified {
			t.Errorf("%s: fencepost version says %s, want %s of %s", row.target, text, version, commit)
		}
		if got.FIPS.Mode != row.mode || !strings.HasPrefix(got.FIPS.Module, row.module) {
			t.Errorf("%s: fencepost version says %s, want FIPS 140-3 mode %s with module %s", row.target, text, row.mode, row.module)
		}
	}
}

// billOfMaterials compares the bill with what the go command reads from the same binaries, and has the
// validator of the CycloneDX project judge it.
func billOfMaterials(t *testing.T, out, bin string) {
	name := filepath.Join(out, "fencepost_"+version[1:]+".cdx.json")
	data := read(t, name)
	var bom struct {
		Components []struct {
			Ref        string `json:"bom-ref"`
			Name       string
			Version    string
			Hashes     []struct{ Content string }
			Licenses   []json.RawMessage
			Properties []struct{ Name, Value string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	known, hashes := map[string]string{}, map[string]string{}
	for _, c := range bom.Components {
		sum := ""
		for _, p := range c.Properties {
			if p.Name == "fencepost:go.sum" {
				sum = p.Value
			}
		}
		known[c.Ref] = strings.TrimSpace(c.Name + " " + c.Version + " " + sum)
		if len(c.Hashes) > 0 {
			hashes[c.Ref] = c.Hashes[0].Content
		} else if len(c.Licenses) == 0 {
			t.Errorf("%s has no licence", c.Name)
		}
	}
	linked := map[string]map[string]bool{}
	for _, d := range bom.Dependencies {
		linked[d.Ref] = map[string]bool{}
		for _, ref := range d.DependsOn {
			linked[d.Ref][known[ref]] = true
		}
	}
	for _, command := range []string{"fencepost", "timestamp-server", "timestamp-cli", "fetch-tsa-certs"} {
		want := goVersion(t, filepath.Join(bin, command))
		if got := linked["linux_amd64/"+command]; !maps.Equal(got, want) {
			t.Errorf("%s contains %v, want %v", command, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		sum, _, _ := strings.Cut(run(t, "sha256sum", filepath.Join(bin, command)), " ")
		if got := hashes["linux_amd64/"+command]; got != sum {
			t.Errorf("%s has SHA-256 %s, want %s", command, got, sum)
		}
	}

	node := command{env: []string{"NODE_PATH=" + nodeModules}}
	node.accept(t, "node", "js/validate.js", name)
	for _, row := range []struct{ name, old, with string }{
		{"a licence that SPDX does not have", `"id": "MIT"`, `"id": "Massachusetts"`},
		{"a word that the schema does not have", `"dependsOn"`, `"dependsUpon"`},
		{"a hash that is too short", `"content": "`, `"content": "0`},
		{"a serial number that is none", `"urn:uuid:`, `"urn:id:`},
	} {
		bad := strings.Replace(string(data), row.old, row.with, 1)
		if bad == string(data) {
			t.Fatalf("%s: no %s in the bill", row.name, row.old)
		}
		node.refuse(t, "/", "node", "js/validate.js", write(t, filepath.Join(t.TempDir(), "bad.json"), []byte(bad)))
	}
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	return command{}.accept(t, argv...)
}

// goVersion returns what "go version -m" says is in a binary, the standard library among it.
func goVersion(t *testing.T, binary string) map[string]bool {
	t.Helper()
	text := run(t, "go", "version", "-m", binary)
	modules := map[string]bool{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 4 && fields[0] == "dep":
			modules[strings.Join(fields[1:], " ")] = true
		case strings.HasPrefix(line, binary+": go"):
			modules["std "+strings.TrimPrefix(fields[1], "go")] = true
		}
	}
	if len(modules) < 3 {
		t.Fatalf("go version -m %s says\n%s", binary, text)
	}
	return modules
}

// debianPackage looks into the package, and holds that making one is reproducible.
func debianPackage(t *testing.T, out, bin string) {
	deb := filepath.Join(out, "fencepost_"+debianVersion+"_amd64.deb")
	if got := strings.TrimSpace(run(t, "dpkg-deb", "--field", deb, "Version")); got != debianVersion {
		t.Errorf("the package has version %s, want %s", got, debianVersion)
	}
	dir := t.TempDir()
	run(t, "dpkg-deb", "--extract", deb, dir)
	if !bytes.Equal(read(t, dir, "usr/bin/fencepost"), read(t, bin, "fencepost")) {
		t.Error("the package has another fencepost than the archive")
	}
	if text := read(t, dir, "usr/share/doc/fencepost/LICENSES-OF-OTHERS"); !bytes.Contains(text, []byte("golang.org/x/crypto")) {
		t.Error("the package does not have the licences of what is linked")
	}

	// Compressing the real ones twice would take a minute.
	small := t.TempDir()
	for _, name := range []string{"fencepost", "timestamp-server", "timestamp-cli", "fetch-tsa-certs"} {
		write(t, filepath.Join(small, name), bytes.Repeat([]byte(name), 1<<16))
	}
	var packages [][]byte
	for _, row := range []struct{ umask, zone, threads string }{
		{"022", "UTC", "1"},
		{"077", "Pacific/Kiritimati", "4"},
	} {
		to := t.TempDir()
		c := command{env: []string{"TZ=" + row.zone, "DPKG_DEB_THREADS_MAX=" + row.threads, "SOURCE_DATE_EPOCH=1700000000", "TMPDIR=" + t.TempDir()}}
		c.accept(t, "sh", "-c", "umask "+row.umask+`; exec "$0" "$@"`, abs(t, root+"/deploy/debian/build"), small, to, debianVersion)
		packages = append(packages, read(t, to, "fencepost_"+debianVersion+"_amd64.deb"))
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("the Debian package is another one when it is made again")
	}
}

// refusedBuilds holds what the script does not begin with.
func refusedBuilds(t *testing.T, repository, out string) {
	build := repository + "/deploy/release/build"
	for _, row := range []struct {
		name, text string
		args       []string
	}{
		{"no tag", "v1.999.1 is not a tag", []string{"v1.999.1", t.TempDir()}},
		{"a branch", "HEAD is not a tag", []string{"HEAD", t.TempDir()}},
		{"a folder with something in it", "is not empty", []string{version, out}},
		{"a target that is none", "usage:", []string{"-t", "plan9_amd64", version, t.TempDir()}},
		{"no folder", "usage:", []string{version}},
	} {
		t.Run(row.name, func(t *testing.T) {
			command{}.refuse(t, row.text, append([]string{build}, row.args...)...)
		})
	}
}
