package cli

import (
	"fmt"
	"path/filepath"
	"runtime"
)

// UserAgent is how this program calls itself where it is a guest.
func (e *Env) UserAgent() string {
	return fmt.Sprintf("%s/%s (%s; %s)", e.Program, ReadBuild().Version, runtime.GOOS, runtime.GOARCH)
}

// CacheDir is the directory for what was fetched and can be fetched again, below
// that of the user's caches, where os.UserCacheDir has it. It may not be there.
func (e *Env) CacheDir() (string, error) {
	variable, below := "HOME", ".cache"
	switch {
	case e.Getenv("XDG_CACHE_HOME") != "":
		variable, below = "XDG_CACHE_HOME", ""
	case runtime.GOOS == "windows":
		variable, below = "LocalAppData", ""
	case runtime.GOOS == "darwin":
		below = filepath.Join("Library", "Caches")
	}
	dir := e.Getenv(variable)
	if dir == "" {
		return "", fmt.Errorf("no directory for what is fetched: $%s is empty", variable)
	}
	if dir = filepath.Join(dir, below); !filepath.IsAbs(dir) {
		return "", fmt.Errorf("no directory for what is fetched: $%s is not an absolute path", variable)
	}
	return filepath.Join(dir, "fencepost"), nil
}
