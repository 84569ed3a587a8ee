//go:build !unix

package systemd

import "errors"

func monotonicMicroseconds() (int64, error) {
	return 0, errors.New("this system has no monotonic clock that a manager would know")
}
