// Package timesrc holds the clocks that ask somebody else for the time, or for
// the error of it: implementations of clock.Source that need a system.
//
// [Kernel] is the system clock with the error bound that the kernel keeps for
// it. A time service (chronyd, ntpd, systemd-timesyncd, ptp4l) disciplines the
// clock and tells the kernel how wrong it may be; from then on the bound grows
// by half a millisecond each second until the service speaks again. Where no
// service does, the kernel knows that it does not know, and so does the Source.
package timesrc
