package timesrc

import "time"

// DefaultKernelFloor is what is added to the kernel's bound unless told
// otherwise. systemd-timesyncd tells the kernel after each adjustment that the
// maximum error is zero, whatever the way to its server was like; 10 ms is half
// of the round trip to a server in the same country. Where the service states
// an honest bound (chronyd, ntpd, ptp4l with phc2sys), the floor costs little.
const DefaultKernelFloor = 10 * time.Millisecond

// KernelConfig configures [Kernel].
type KernelConfig struct {
	// Floor is added to the bound that the kernel keeps, which is only as
	// honest as the service that set it. Zero: [DefaultKernelFloor]. A nanosecond
	// is as good as none.
	Floor time.Duration
}
