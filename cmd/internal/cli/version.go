package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// Build says which program this is. It is read from what the Go linker
// recorded, so that no release step can forget it.
type Build struct {
	// Version is the module's version, such as "v1.2.3", or "devel".
	Version string `json:"version"`
	// Revision is the commit it was built from, "" if not known.
	Revision string `json:"revision,omitempty"`
	// Time is the time of that commit as RFC 3339, "" if not known.
	Time string `json:"time,omitempty"`
	// Modified says that the tree differed from the commit.
	Modified bool `json:"modified,omitempty"`
	// Go is the version of the compiler and Platform the system and processor.
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadBuild returns the build of this program.
func ReadBuild() Build {
	b := Build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// versionJSON is what "version --json" writes.
type versionJSON struct {
	Build
	FIPS struct {
		// Mode is off, on or only: GODEBUG=fips140, or what the program was
		// built with.
		Mode fips.Mode `json:"mode"`
		// Module is the version of the Go Cryptographic Module, "latest" for
		// that of the Go release, which is not validated.
		Module string `json:"module"`
	} `json:"fips"`
}

// VersionCommand is "version": which program this is.
func VersionCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := versionJSON{Build: ReadBuild()}
			doc.FIPS.Mode, doc.FIPS.Module = fips.Current(), fips.Module()
			if env.JSON {
				return env.WriteJSON(doc)
			}
			_, err := fmt.Fprintf(env.Stdout, "%s %s\nFIPS 140-3: %s\n", env.Program, doc.Build, fips.String())
			return err
		},
	}
}

// String returns the build on one line.
func (b Build) String() string {
	s := b.Version
	if b.Revision != "" {
		s += " (" + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return fmt.Sprintf("%s %s %s", s, b.Go, b.Platform)
}
