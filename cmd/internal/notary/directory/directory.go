package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// A Dir is a configuration directory. It need not exist.
type Dir struct {
	// Path is where it is.
	Path string
	// From says why it is this one: "--config-dir", "$NOTATION_CONFIG"; empty
	// for the usual place.
	From string
}

// The variables that name the directory. Ours wins, as the more particular.
const (
	Variable         = "FENCEPOST_CONFIG_DIR"
	NotationVariable = "NOTATION_CONFIG"
)

// ours is the name of the directory within that of the user's configuration.
const ours = "fencepost"

// Find returns the directory that the flag names, else the environment
// variable FENCEPOST_CONFIG_DIR, else NOTATION_CONFIG, else the usual place:
//
//	$XDG_CONFIG_HOME/fencepost or ~/.config/fencepost   Unix
//	~/Library/Application Support/fencepost              macOS
//	%AppData%\fencepost                                  Windows
//
// Where there is no home, that is an error; Notation then takes the working
// directory, which is whoever's who wrote there.
func Find(flag string, getenv func(string) string) (Dir, error) {
	return find(runtime.GOOS, flag, getenv)
}

func find(goos, flag string, getenv func(string) string) (Dir, error) {
	switch {
	case flag != "":
		return Dir{flag, "--config-dir"}, nil
	case getenv(Variable) != "":
		return Dir{getenv(Variable), "$" + Variable}, nil
	case getenv(NotationVariable) != "":
		return Dir{getenv(NotationVariable), "$" + NotationVariable}, nil
	}
	base, err := userConfig(goos, getenv)
	if err != nil {
		return Dir{}, err
	}
	return Dir{Path: base + separator(goos) + ours}, nil
}

// userConfig is os.UserConfigDir for any system and environment.
func userConfig(goos string, getenv func(string) string) (string, error) {
	none := func(what string) (string, error) {
		return "", &Error{Reason: ReasonNone, Err: errors.New(what + ", so the configuration directory is not known"),
			advice: "name it with --config-dir, or in the environment variable " + Variable}
	}
	home, xdg := getenv("HOME"), getenv("XDG_CONFIG_HOME")
	switch {
	case goos == "windows":
		if dir := getenv("AppData"); dir != "" {
			return dir, nil
		}
		return none("%AppData% is not set")
	case goos == "darwin" || goos == "ios":
		if home == "" {
			return none("$HOME is not set")
		}
		return home + "/Library/Application Support", nil
	case xdg != "" && !strings.HasPrefix(xdg, "/"):
		return none("$XDG_CONFIG_HOME is a relative path")
	case xdg != "":
		return xdg, nil
	case home == "":
		return none("neither $XDG_CONFIG_HOME nor $HOME is set")
	}
	return home + "/.config", nil
}

func separator(goos string) string {
	if goos == "windows" {
		return `\`
	}
	return "/"
}

// notations is where Notation keeps its own, beside ours; "" if ours was named.
func (d Dir) notations() string {
	if d.From != "" {
		return ""
	}
	return filepath.Join(filepath.Dir(d.Path), "notation")
}

// A Reason is why a file could not be used: one word of a closed set.
type Reason string

// The reasons.
const (
	ReasonNone      Reason = "no-directory" // nothing says where the directory is
	ReasonAbsent    Reason = "absent"       // there is no such file
	ReasonIrregular Reason = "irregular"    // a symbolic link, a directory, a device
	ReasonTooLarge  Reason = "too-large"
	ReasonExists    Reason = "exists" // something is there that is not replaced
	ReasonInvalid   Reason = "invalid"
	ReasonKey       Reason = "no-key" // no such key in signingkeys.json
	ReasonPlugin    Reason = "plugin" // a key that only a plugin of Notation can use
	ReasonIO        Reason = "io"
)

// An Error is one about a file of the directory.
type Error struct {
	Reason Reason
	Path   string // "" if it is about no file
	Err    error  // says it all, the path included
	advice string
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Advice says what to do, "" if nothing is known.
func (e *Error) Advice() string { return e.advice }

// read reads a file of the directory, limit octets at most. The error is an
// *Error; it wraps fs.ErrNotExist if the file is absent.
func (d Dir) read(name string, limit int64) (string, []byte, error) {
	path := filepath.Join(d.Path, name)
	fail := func(reason Reason, advice string, err error) (string, []byte, error) {
		return path, nil, &Error{Reason: reason, Path: path, Err: err, advice: advice}
	}
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(ReasonAbsent, "", err)
	case err != nil:
		return fail(ReasonIO, "", err)
	case before.Mode()&fs.ModeSymlink != 0:
		return fail(ReasonIrregular, "put the file itself there", fmt.Errorf("%s is a symbolic link, which is not followed", path))
	case !before.Mode().IsRegular():
		return fail(ReasonIrregular, "", fmt.Errorf("%s is %s, want a file", path, cli.Kind(before.Mode())))
	}
	f, err := os.Open(path)
	if err != nil {
		advice := ""
		if errors.Is(err, fs.ErrPermission) {
			advice = "let the user who runs this read it"
		}
		return fail(ReasonIO, advice, err)
	}
	defer f.Close()
	// What was looked at is what is read, whatever happened to the name.
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return fail(ReasonIrregular, "try again", errors.Join(fmt.Errorf("%s was exchanged while it was opened", path), err))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return fail(ReasonIO, "", err)
	}
	if int64(len(data)) > limit {
		return fail(ReasonTooLarge, "is it the right file?", fmt.Errorf("%s has more than %d octets", path, limit))
	}
	return path, data, nil
}
