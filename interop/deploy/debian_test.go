package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage installs the package on a machine of its own: this one's files under a layer that takes what is
// written, with a systemd that starts from nothing. There the service is started, used, reloaded, killed, upgraded,
// removed and purged.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	// As the packages are made, but for the time that it takes to press them.
	t.Setenv("DPKG_DEB_COMPRESSOR_LEVEL", "0")
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	made := func(version string) string {
		t.Helper()
		return strings.TrimSpace(accept(t, root+"/deploy/debian/build", filepath.Dir(ours("fencepost")), filepath.Join(dir, version), version))
	}
	deb := made("1.2.3~rc.1")
	if base := filepath.Base(deb); !strings.HasPrefix(base, "fencepost_1.2.3~rc.1_") {
		t.Errorf("the package is called %s", base)
	}
	again := strings.TrimSpace(accept(t, root+"/deploy/debian/build", filepath.Dir(ours("fencepost")), filepath.Join(dir, "again"), "1.2.3~rc.1"))
	if read(t, deb) != read(t, again) {
		t.Error("the same input gives another package")
	}
	t.Run("contents", func(t *testing.T) { packageContents(t, deb) })
	t.Run("lintian", func(t *testing.T) {
		accept(t, "lintian", "--allow-root", "--fail-on=error,warning", deb)
	})
	t.Run("life", func(t *testing.T) { packageLife(t, deb, made("1.2.3")) })
}

func packageContents(t *testing.T, deb string) {
	info := accept(t, "dpkg-deb", "--info", deb)
	for _, field := range []string{"Package: fencepost\n", "Version: 1.2.3~rc.1\n", "Section: net\n"} {
		if !strings.Contains(info, field) {
			t.Errorf("no %q in %s", field, info)
		}
	}
	tree := t.TempDir()
	accept(t, "dpkg-deb", "--raw-extract", deb, tree)
	if got := read(t, tree, "DEBIAN/conffiles"); got != "/etc/fencepost/fencepost.yaml\n" {
		t.Errorf("conffiles are %q", got)
	}
	pages, err := filepath.Glob(root + "/doc/man/*.1")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if got := accept(t, "gzip", "-dc", filepath.Join(tree, "usr/share/man/man1", filepath.Base(page)+".gz")); got != read(t, page) {
			t.Errorf("%s is another page", filepath.Base(page))
		}
	}
	for name, like := range map[string]string{
		"usr/bin/fencepost": ours("fencepost"), "usr/bin/timestamp-server": ours("timestamp-server"),
		"usr/bin/timestamp-cli": ours("timestamp-cli"), "usr/bin/fetch-tsa-certs": ours("fetch-tsa-certs"),
		"lib/systemd/system/fencepost.service": root + "/deploy/systemd/fencepost.service",
		"lib/systemd/system/fencepost.socket":  root + "/deploy/systemd/fencepost.socket",
	} {
		if read(t, tree, name) != read(t, like) {
			t.Errorf("%s is another file", name)
		}
	}
	for _, page := range []string{"operating.md", "operating/clock.md", "keys/vault.md", "policy.md"} {
		if read(t, tree, "usr/share/doc/fencepost", page) != read(t, root, "doc", page) {
			t.Errorf("%s is another page", page)
		}
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		accept(t, "sh", "-n", filepath.Join(tree, "DEBIAN", script))
	}
}

// packageLife boots the machine, which runs life.sh and is gone, and reads what that found.
func packageLife(t *testing.T, deb, newer string) {
	dir := t.TempDir()
	machine := filepath.Join(dir, "machine")
	for _, d := range []string{"upper", "work", "machine"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, "mount", "-t", "overlay", "fencepost", "-o", "lowerdir=/,upperdir="+dir+"/upper,workdir="+dir+"/work", machine)
	t.Cleanup(func() { accept(t, "umount", machine) })
	write(t, machine, "root/check/old.deb", read(t, deb))
	write(t, machine, "root/check/new.deb", read(t, newer))
	write(t, machine, "root/check/life.sh", read(t, "testdata/life.sh"))
	// The only thing that this machine does: none of the services of the real one.
	write(t, machine, "etc/systemd/system/check.service", `[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
TimeoutStartSec=120s
StandardOutput=append:/root/check/out
StandardError=append:/root/check/out
ExecStart=/bin/bash /root/check/life.sh
`)
	write(t, machine, "etc/systemd/system/check.target", "[Unit]\nRequires=sysinit.target dbus.socket check.service\nAfter=sysinit.target dbus.socket\nAllowIsolate=yes\n")
	// adjtimex(2) is not for containers, by nspawn's own filter.
	r := command(t, nil, "systemd-nspawn", "--quiet", "--directory", machine, "--machine", "fencepost-check", "--register=no", "--keep-unit",
		"--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe", "--system-call-filter=adjtimex clock_adjtime",
		"--boot", "systemd.unit=check.target", "systemd.show_status=no")
	out, err := os.ReadFile(filepath.Join(machine, "root/check/out"))
	if err != nil || !strings.HasSuffix(string(out), "all is well\n") {
		t.Fatalf("%v\n%s\n%v", err, out, r)
	}
}
