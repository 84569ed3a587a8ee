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

// CacheDir is the directory for what was fetched of one kind and can be fetched
// again, below that of the user's caches, where os.UserCacheDir has it. It may
// not be there. It is for commands with the flag --no-cache.
func (e *Env) CacheDir(kind string) (string, error) {
	const noCache = "name a directory in $XDG_CACHE_HOME, or use --no-cache"
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
		return "", Hint(fmt.Errorf("no directory for what is fetched: $%s is empty", variable), noCache)
	}
	if dir = filepath.Join(dir, below); !filepath.IsAbs(dir) {
		return "", Hint(fmt.Errorf("no directory for what is fetched: $%s is not an absolute path", variable), noCache)
	}
	return filepath.Join(dir, "fencepost", kind), nil
}
