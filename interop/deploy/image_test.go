package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// uid is the user of the image.
const uid = 65532

// An image is one that buildah has built.
type image struct {
	root string // where its file system is mounted
	config
}

type config struct {
	User         string
	Env          []string
	Entrypoint   []string
	Cmd          []string
	ExposedPorts map[string]struct{}
	Healthcheck  any
	Volumes      map[string]struct{}
}

// build builds the Dockerfile with an image to build in that has this machine's programs: there is no registry
// to fetch one from. All else is as it would be.
func build(t *testing.T) image {
	t.Helper()
	dir := t.TempDir()
	buildah := func(args ...string) string {
		return strings.TrimSpace(accept(t, append([]string{"buildah", "--root", dir + "/store", "--runroot", dir + "/run", "--storage-driver", "vfs"}, args...)...))
	}
	// It uses what is mounted over these: the programs, Go, its modules and what was compiled before.
	base := filepath.Join(dir, "base")
	for _, d := range []string{"usr", "etc/ssl/certs", "tmp", "root", "gomod", "gocache", "goroot"} {
		if err := os.MkdirAll(filepath.Join(base, "files", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(base, "files", link)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, base, "files/etc/ssl/certs/ca-certificates.crt", read(t, "/etc/ssl/certs/ca-certificates.crt"))
	write(t, base, "Dockerfile", `FROM scratch
COPY files/ /
ENV PATH=/goroot/bin:/usr/bin GOPATH=/root/go GOMODCACHE=/gomod GOCACHE=/gocache GOPROXY=off GOTOOLCHAIN=local
`)
	goEnv := func(name string) string { return strings.TrimSpace(accept(t, "go", "env", name)) }
	buildah("bud", "-q", "--isolation", "chroot", "-t", "localhost/base", base)
	buildah("bud", "-q", "--isolation", "chroot", "--network", "host", "--build-arg", "BUILD_IMAGE=localhost/base",
		"-v", "/usr:/usr:ro", "-v", goEnv("GOROOT")+":/goroot:ro", "-v", goEnv("GOMODCACHE")+":/gomod", "-v", goEnv("GOCACHE")+":/gocache",
		"--target", "deploy", "-t", "localhost/fencepost", root)
	var inspected struct{ Docker struct{ Config config } }
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", "localhost/fencepost")), &inspected); err != nil {
		t.Fatal(err)
	}
	container := buildah("from", "localhost/fencepost")
	mounted := buildah("mount", container)
	t.Cleanup(func() {
		if r := command(t, nil, "buildah", "--root", dir+"/store", "--runroot", dir+"/run", "--storage-driver", "vfs", "umount", container); r.code != 0 {
			t.Errorf("unmount the image: %v", r)
		}
	})
	return image{mounted, inspected.Docker.Config}
}

// run runs a command in the file system of the image as a container engine would, hardened: read-only, as the
// image's user, with its environment and without any capability. data, if it is not empty, is mounted where the
// server's data is.
func (i image) run(t *testing.T, ready, data string, argv ...string) (printed *log, stop func()) {
	t.Helper()
	// The PATH is already the image's.
	script := `set -e
/usr/bin/mount --bind "$1" "$1"
[ -z "$2" ] || /usr/bin/mount --bind "$2" "$1/var/lib/fencepost"
/usr/bin/mount -o remount,bind,ro "$1"
root=$1
shift 2
exec /usr/bin/setpriv --no-new-privs --bounding-set -all,+sys_chroot,+setuid,+setgid \
	/usr/sbin/chroot --userspec=65532:65532 --groups= "$root" "$@"`
	path, ok := "", false
	for _, v := range i.Env {
		if path, ok = strings.CutPrefix(v, "PATH="); ok {
			break
		}
	}
	args := []string{"unshare", "--mount", "--propagation", "private", "env", "-i"}
	args = append(args, i.Env...)
	args = append(args, "/bin/sh", "-c", script, "sh", i.root, data, filepath.Join(path, argv[0]))
	return start(t, ready, append(args, argv[1:]...)...)
}

func TestImage(t *testing.T) {
	img := build(t)
	t.Run("configuration", func(t *testing.T) {
		for _, row := range []struct{ name, got, want string }{
			{"User", img.User, "65532:65532"},
			{"Entrypoint", fmt.Sprint(img.Entrypoint), "[timestamp-server]"},
			{"Cmd", fmt.Sprint(img.Cmd), "[serve]"},
			{"ExposedPorts", fmt.Sprint(slices.Sorted(maps.Keys(img.ExposedPorts))), "[2112/tcp 3000/tcp]"},
			{"Healthcheck", fmt.Sprint(img.Healthcheck), "<nil>"},
			{"Volumes", fmt.Sprint(img.Volumes), "map[]"},
		} {
			if row.got != row.want {
				t.Errorf("%s is %s, not %s", row.name, row.got, row.want)
			}
		}
		for _, v := range []string{"HOST=0.0.0.0", "PORT=3000", "PATH=/usr/local/bin"} {
			if !slices.Contains(img.Env, v) {
				t.Errorf("Env is %v, without %s", img.Env, v)
			}
		}
	})
	t.Run("files", func(t *testing.T) { imageFiles(t, img) })
	t.Run("same bytes", func(t *testing.T) {
		for _, name := range []string{"fencepost", "timestamp-server", "timestamp-cli", "fetch-tsa-certs"} {
			if !bytes.Equal([]byte(read(t, img.root, "usr/local/bin", name)), []byte(read(t, ours(name)))) {
				t.Errorf("%s is not the one that deploy/build makes outside of the image", name)
			}
		}
	})
	t.Run("as it comes", func(t *testing.T) {
		img.run(t, "http://127.0.0.1:3000/ping", "", append(img.Entrypoint, img.Cmd...)...)
		stamp(t, "http://127.0.0.1:3000")
		// What is in a container reaches outside by all interfaces: the one port, and not the administration.
		if got, want := listening(t), "127.0.0.1:2112 [::]:3000"; got != want {
			t.Errorf("it listens on %s, not on %s", got, want)
		}
	})
	t.Run("with a volume", func(t *testing.T) {
		data := t.TempDir()
		if err := os.Chown(data, uid, uid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(data, 0o700); err != nil {
			t.Fatal(err)
		}
		argv := []string{"fencepost", "serve", "--data-dir", "/var/lib/fencepost", "--listen", "127.0.0.1:3000", "--admin", "127.0.0.1:2112"}
		_, stop := img.run(t, "http://127.0.0.1:3000/healthz", data, append(argv, "--init")...)
		chain, err := get("http://127.0.0.1:3000/api/v1/timestamp/certchain")
		if err != nil {
			t.Fatal(err)
		}
		stop()
		img.run(t, "http://127.0.0.1:3000/healthz", data, argv...)
		if again, err := get("http://127.0.0.1:3000/api/v1/timestamp/certchain"); err != nil || again != chain {
			t.Errorf("after a restart the chain is another (%v)", err)
		}
	})
	t.Run("docker-compose.yml", func(t *testing.T) {
		for _, file := range composeFiles {
			svc := compose(t, file).Services["timestamp-server"]
			_, stop := img.run(t, "http://127.0.0.1:3000/ping", "", append(img.Entrypoint, svc.Command...)...)
			stamp(t, "http://127.0.0.1:3000")
			if _, err := get("http://127.0.0.1:2112/metrics"); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			stop()
		}
	})
}

// imageFiles holds that there is nothing in the image but what is meant to be, and nothing that its user could
// change but its two folders.
func imageFiles(t *testing.T, img image) {
	want := strings.Fields(`etc etc/fencepost etc/group etc/passwd etc/ssl etc/ssl/certs etc/ssl/certs/ca-certificates.crt
		home home/nonroot usr usr/local usr/local/LICENSE usr/local/bin usr/local/bin/fencepost usr/local/bin/fetch-tsa-certs
		usr/local/bin/timestamp-cli usr/local/bin/timestamp-server var var/lib var/lib/fencepost`)
	var got []string
	err := filepath.WalkDir(img.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == img.root {
			return err
		}
		name := strings.TrimPrefix(path, img.root+"/")
		got = append(got, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		owner := int(info.Sys().(*syscall.Stat_t).Uid)
		users := name == "home/nonroot" || name == "var/lib/fencepost"
		switch {
		case users && (owner != uid || info.Mode().Perm() != 0o700):
			t.Errorf("%s belongs to %d with mode %v", name, owner, info.Mode())
		case !users && (owner != 0 || info.Mode()&(0o022|fs.ModeSetuid|fs.ModeSetgid) != 0 || !d.IsDir() && !info.Mode().IsRegular()):
			t.Errorf("%s belongs to %d with mode %v", name, owner, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the image has\n%s\nand not\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
	for _, line := range []string{read(t, img.root, "etc/passwd"), read(t, img.root, "etc/group")} {
		if !strings.Contains(line, fmt.Sprintf("nonroot:x:%d:", uid)) {
			t.Errorf("no nonroot in %q", line)
		}
	}
}

// listening lists the addresses of IPv4 and IPv6 on which anything in this namespace listens.
func listening(t *testing.T) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(read(t, "/proc/net/tcp")) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" { // TCP_LISTEN
			continue
		}
		var a [4]byte
		var port int
		if _, err := fmt.Sscanf(f[1], "%02X%02X%02X%02X:%04X", &a[3], &a[2], &a[1], &a[0], &port); err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%d.%d.%d.%d:%d", a[0], a[1], a[2], a[3], port))
	}
	for line := range strings.Lines(read(t, "/proc/net/tcp6")) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" {
			continue
		}
		var port int
		address, digits, _ := strings.Cut(f[1], ":")
		if _, err := fmt.Sscanf(digits, "%04X", &port); err != nil {
			t.Fatal(err)
		}
		if strings.Trim(address, "0") == "" {
			address = "::" // and all of IPv4 with it
		}
		found = append(found, fmt.Sprintf("[%s]:%d", address, port))
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}
