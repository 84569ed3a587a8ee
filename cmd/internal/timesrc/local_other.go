//go:build !linux

package timesrc

import "github.com/fencepost-tsa/fencepost/clock"

// SystemLocal returns the clocks of this machine. Elapsed is the monotonic
// clock of Go, which is not the same everywhere: on Windows the interrupt
// time, which counts suspended time and is not steered; on macOS
// mach_absolute_time, which is not steered and stops while the machine sleeps;
// on the BSDs CLOCK_MONOTONIC, which time services steer. A machine that may
// sleep should serve no timestamps from a clock that does not count it.
func SystemLocal() clock.Local { return clock.PortableLocal() }
