// Package timesrc holds the clocks that ask somebody else for the time, or for
// the error of it: what package clock needs a system, or a network, for.
//
// [SystemLocal] are this machine's two clocks, the one that is set and the one
// that is not; a clock.Monitor compares the first with other machines', and
// measures its own time by the second.
//
// [NTP] is a server to compare with. [Exchange] asks it once, over package ntp,
// which parses, and believes of the answer what can be believed: it answers the
// question that was asked, its server says that it is synchronised and how
// well, and its times are possible. What comes out is an offset with an error
// that holds whatever the way there and back was like, even if the clock was
// set meanwhile. Package nts adds authentication to the same exchange.
//
// [Kernel] is the system clock with the error bound that the kernel keeps for
// it. A time service (chronyd, ntpd, systemd-timesyncd, ptp4l) disciplines the
// clock and tells the kernel how wrong it may be; from then on the bound grows
// by half a millisecond each second until the service speaks again. Where no
// service does, the kernel knows that it does not know, and so does the Source.
// The kernel has nothing but the service's word, and asks nobody.
//
// [ReadPeerFile] reads the list of time servers that a configuration of
// sigstore/timestamp-authority has.
package timesrc
