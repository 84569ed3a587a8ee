package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// The names of the policy files.
const (
	ImagePolicyName    = "trustpolicy.oci.json"
	OldImagePolicyName = "trustpolicy.json" // of Notation 1.x
	FilePolicyName     = "trustpolicy.blob.json"
)

// ImagePolicy reads the trust policy for images and returns where it is. The
// error is an *[Error]; it wraps [fs.ErrNotExist] if there is none, and path is
// then where it would be.
func (d Dir) ImagePolicy() (path string, data []byte, err error) {
	return d.policy("images", ImagePolicyName, OldImagePolicyName)
}

// FilePolicy does the same for files.
func (d Dir) FilePolicy() (path string, data []byte, err error) {
	return d.policy("files", FilePolicyName)
}

func (d Dir) policy(what string, names ...string) (string, []byte, error) {
	for _, name := range names {
		// Only an absent file makes way for the next: one that cannot be read
		// may be the stricter.
		path, data, err := d.read(name, trustpolicy.MaxSize)
		if !errors.Is(err, fs.ErrNotExist) {
			return path, data, err
		}
	}
	path := filepath.Join(d.Path, names[0])
	flag := ""
	if names[0] == FilePolicyName {
		flag = " --blob"
	}
	e := &Error{Reason: ReasonAbsent, Path: path,
		Err:    fmt.Errorf("there is no trust policy for %s in %s: %w", what, d.Path, fs.ErrNotExist),
		advice: fmt.Sprintf("make one with fencepost policy init%s, or bring one with fencepost policy import%s", flag, flag)}
	if other := d.notations(); other != "" {
		for _, name := range names {
			if _, err := os.Lstat(filepath.Join(other, name)); err == nil {
				e.advice = "Notation has one; to use its directory, add --config-dir " + other
				break
			}
		}
	}
	return path, nil, e
}

// An Imported says what became of a policy.
type Imported struct {
	Path     string // where it is now
	Replaced bool   // there was another
	Removed  string // the file under the old name that is gone; "" if there was none
}

// ImportImagePolicy makes data the trust policy for images, in one step, and
// then removes the one under the old name, as Notation does. With cli.Keep a
// policy under either name is not replaced, and the error, an *[Error], wraps
// [fs.ErrExist]. Whether data is a policy is for the caller to know.
func (d Dir) ImportImagePolicy(data []byte, existing cli.Existing) (Imported, error) {
	return d.importPolicy(data, existing, ImagePolicyName, OldImagePolicyName)
}

// ImportFilePolicy does the same for files, which have no old name.
func (d Dir) ImportFilePolicy(data []byte, existing cli.Existing) (Imported, error) {
	return d.importPolicy(data, existing, FilePolicyName)
}

func (d Dir) importPolicy(data []byte, existing cli.Existing, name string, old ...string) (Imported, error) {
	in := Imported{Path: filepath.Join(d.Path, name)}
	there := ""
	for _, n := range append([]string{name}, old...) {
		path := filepath.Join(d.Path, n)
		switch st, err := os.Lstat(path); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return Imported{}, &Error{Reason: ReasonIO, Path: path, Err: err}
		case !replaceable(path, st):
			return Imported{}, &Error{Reason: ReasonIrregular, Path: path, Err: fmt.Errorf("%s is %s", path, cli.Kind(st.Mode())), advice: "move it away"}
		case there == "":
			there = path
		}
	}
	if there != "" && existing == cli.Keep {
		return Imported{}, taken(there)
	}
	in.Replaced = there != ""
	// Others need not read it, as with Notation.
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return Imported{}, &Error{Reason: ReasonIO, Path: d.Path, Err: err}
	}
	var env cli.Env
	if err := env.Write(cli.File{Path: in.Path, Data: data, Mode: 0o600, Existing: existing}); errors.Is(err, fs.ErrExist) {
		return Imported{}, taken(in.Path)
	} else if err != nil {
		return Imported{}, &Error{Reason: ReasonIO, Path: in.Path, Err: err}
	}
	for _, n := range old {
		path := filepath.Join(d.Path, n)
		if err := os.Remove(path); err == nil {
			in.Removed = path
		} else if !errors.Is(err, fs.ErrNotExist) {
			return in, &Error{Reason: ReasonIO, Path: path, Err: fmt.Errorf("the policy is at %s, and the old one is still there: %w", in.Path, err),
				advice: "remove " + path}
		}
	}
	return in, nil
}

// replaceable says whether a new policy would take the place of what has its
// name. It would be written into a device or a pipe, and into one that a
// symbolic link names, and be in force nowhere.
func replaceable(path string, st fs.FileInfo) bool {
	if st.Mode()&fs.ModeSymlink == 0 {
		return st.Mode().IsRegular()
	}
	target, err := os.Stat(path)
	return err != nil || target.Mode().IsRegular()
}

func taken(path string) error {
	return &Error{Reason: ReasonExists, Path: path, Err: &fs.PathError{Op: "import", Path: path, Err: fs.ErrExist}, advice: "replace it with --force"}
}
