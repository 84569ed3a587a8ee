package revocation

import (
	"fmt"

	"github.com/fencepost-tsa/fencepost/verify"
)

// maxCRLFile is the longest file with revocation lists, in bytes: a large list
// has 30 MiB, and PEM is a third longer.
const maxCRLFile = 64 << 20

// ReadCRLs reads revocation lists, each file one in DER or some in PEM. read
// returns a file of at most limit bytes.
func ReadCRLs(files []string, read func(path string, limit int64) ([]byte, error)) (*verify.CRLs, error) {
	lists := make([][]byte, len(files))
	for i, file := range files {
		var err error
		if lists[i], err = read(file, maxCRLFile); err != nil {
			return nil, err
		}
		// Each alone first, for an error that names the file.
		if _, err := verify.NewCRLs(lists[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return verify.NewCRLs(lists...)
}
