//go:build !linux

package timesrc

import (
	"fmt"
	"runtime"

	"github.com/fencepost-tsa/fencepost/clock"
)

// Kernel is for Linux only.
func Kernel(KernelConfig) (clock.Source, error) {
	return nil, fmt.Errorf("the kernel of %s does not tell how good its clock is", runtime.GOOS)
}
