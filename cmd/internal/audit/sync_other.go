//go:build !linux

package audit

import "os"

// syncData returns when the file is on the disk.
func syncData(f *os.File) error { return f.Sync() }
