// Package peers finds the clients and servers of others that we are compared with, and installs what is
// missing: Debian packages with apt-get, Go programs and npm packages at pinned versions into a cache.
//
// The cache is fencepost/TOOL@VERSION in the user's cache directory. An entry is built in a directory
// beside it and renamed into place, so that it is whole or not there. A peer that cannot be had is an
// error: a comparison that did not happen must not look like one that went well.
package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Program is a Go program at the version that we are compared with.
type Program struct {
	Name    string // of the binary
	Version string // of its module
	Package string // import path
}

// The programs.
var (
	TimestampServer = Program{"timestamp-server", "v2.1.3", "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server"}
	TimestampCLI    = Program{"timestamp-cli", "v2.1.3", "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-cli"}
	Registry        = Program{"registry", "v3.1.2", "github.com/distribution/distribution/v3/cmd/registry"}
	CosignV3        = Program{"cosign", "v3.1.3", "github.com/sigstore/cosign/v3/cmd/cosign"}
	CosignV2        = Program{"cosign", "v2.6.5", "github.com/sigstore/cosign/v2/cmd/cosign"}
)

// Path is where the program is, or will be.
func (p Program) Path() (string, error) {
	dir, err := cache(p.Name + "@" + p.Version)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, p.Name), nil
}

// Install builds the program unless it is there.
func (p Program) Install(ctx context.Context, log io.Writer) error {
	dir, err := cache(p.Name + "@" + p.Version)
	if err != nil {
		return err
	}
	return fill(dir, func(tmp string) error {
		fmt.Fprintf(log, "building %s@%s\n", p.Name, p.Version)
		cmd := exec.CommandContext(ctx, "go", "install", p.Package+"@"+p.Version)
		cmd.Dir = tmp
		cmd.Env = append(os.Environ(), "GOBIN="+tmp, "GOWORK=off")
		return run(cmd)
	})
}

// Module builds the command of a module of our own that is made of somebody else's parts, and returns its path.
// The flags are for go build.
func Module(ctx context.Context, log io.Writer, name, source string, flags ...string) (string, error) {
	digest := sha256.New()
	for _, flag := range flags {
		fmt.Fprintf(digest, "%q\n", flag)
	}
	files, err := filepath.Glob(filepath.Join(source, "*"))
	if err != nil {
		return "", fmt.Errorf("peers: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("peers: %w", err)
		}
		fmt.Fprintf(digest, "%s %d\n%s", filepath.Base(file), len(data), data)
	}
	dir, err := cache(name + "@" + hex.EncodeToString(digest.Sum(nil)[:8]))
	if err != nil {
		return "", err
	}
	err = fill(dir, func(tmp string) error {
		fmt.Fprintf(log, "building %s\n", name)
		argv := append([]string{"build", "-o", filepath.Join(tmp, name)}, flags...)
		cmd := exec.CommandContext(ctx, "go", append(argv, ".")...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOWORK=off")
		return run(cmd)
	})
	return filepath.Join(dir, name), err
}

// Node installs the npm packages of the package-lock.json in a directory and returns their node_modules.
func Node(ctx context.Context, log io.Writer, source string) (string, error) {
	files := make(map[string][]byte)
	digest := sha256.New()
	for _, name := range []string{".npmrc", "package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("peers: %w", err)
		}
		files[name] = data
		fmt.Fprintf(digest, "%s %d\n%s", name, len(data), data)
	}
	dir, err := cache("npm@" + hex.EncodeToString(digest.Sum(nil)[:8]))
	if err != nil {
		return "", err
	}
	err = fill(dir, func(tmp string) error {
		fmt.Fprintln(log, "installing npm packages")
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir = tmp
		return run(cmd)
	})
	return filepath.Join(dir, "node_modules"), err
}

// A Need is something that a Debian package provides.
type Need struct {
	Command string // looked for in PATH, or a file where it begins with a slash
	Package string
}

func (n Need) met() bool {
	if filepath.IsAbs(n.Command) {
		_, err := os.Stat(n.Command)
		return err == nil
	}
	_, err := exec.LookPath(n.Command)
	return err == nil
}

// Debian installs, in one go, the packages whose needs are not met.
func Debian(ctx context.Context, log io.Writer, needs ...Need) error {
	missing := unmet(needs)
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(log, "installing", strings.Join(missing, " "))
	install := append([]string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, missing...)
	for _, argv := range [][]string{{"apt-get", "update", "-q"}, install} {
		if os.Geteuid() != 0 {
			argv = append([]string{"sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"}, argv...)
		}
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := run(cmd); err != nil {
			return err
		}
	}
	if still := unmet(needs); len(still) > 0 {
		return fmt.Errorf("peers: installed, and still not there: %s", strings.Join(still, " "))
	}
	return nil
}

func unmet(needs []Need) []string {
	var missing []string
	for _, n := range needs {
		if !n.met() {
			missing = append(missing, n.Package)
		}
	}
	return missing
}

// cache returns the path of an entry of the cache.
func cache(entry string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("peers: %w", err)
	}
	return filepath.Join(dir, "fencepost", entry), nil
}

// fill makes dir with build, which is given an empty directory, unless dir is there.
func fill(dir string, build func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := build(tmp); err != nil {
		return fmt.Errorf("peers: %s: %w", filepath.Base(dir), err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		// Somebody else may have been quicker; theirs is as good.
		if _, statErr := os.Stat(dir); statErr != nil {
			return fmt.Errorf("peers: %w", errors.Join(err, statErr))
		}
	}
	return nil
}

// run runs a command and puts what it printed into its error.
func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
	}
	return nil
}
