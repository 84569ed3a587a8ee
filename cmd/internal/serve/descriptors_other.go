//go:build !unix

package serve

// descriptorLimit knows of no limit.
func descriptorLimit() (limit uint64, ok bool) { return 0, false }
