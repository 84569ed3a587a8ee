//go:build !unix

package audit

import (
	"errors"
	"os"
)

// syncOpenFolder does nothing: these systems cannot sync a folder.
func syncOpenFolder(*os.File) error { return nil }

// named does nothing: an open file cannot be removed there.
func named(*os.File) error { return nil }

func cure(err error, dir string) string {
	if errors.Is(err, os.ErrPermission) {
		return "let the user that the server runs as write to " + dir
	}
	return ""
}
