package serve

import (
	"runtime"
	"runtime/debug"
)

// collectPercent is how much a server lets its memory grow before the garbage
// collector runs, in percent of what it keeps. It keeps some 2 MiB and makes
// 10 KiB of garbage per request, so Go's 100 % would mean a hundred
// collections a second under load; this is half of that, and leaves 12 MiB of
// memory where that leaves 8.
const collectPercent = 200

// collectLess sets the pace of the garbage collector, unless the operator has
// (GOGC).
func collectLess() {
	const standard = 100
	if old := debug.SetGCPercent(collectPercent); old != standard {
		debug.SetGCPercent(old)
	}
}

// spareProcessor gives the Go scheduler one more processor than there are, until
// the function that it returns is called. With a record of issue a goroutine is
// in fdatasync nearly all the time, and the scheduler keeps its processor for it
// for up to ten milliseconds: on two processors that is half of what there is.
func spareProcessor() (end func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	return func() { runtime.GOMAXPROCS(before) }
}
