package serve

import "runtime/debug"

// collectPercent is how much a server lets its memory grow before the garbage
// collector runs, in percent of what it keeps. It keeps some 2 MiB and makes
// 10 KiB of garbage per request, so Go's 100 % would mean a hundred
// collections a second under load; this is a fifth of that, for 15 MiB more.
const collectPercent = 400

// collectLess sets the pace of the garbage collector, unless the operator has
// (GOGC).
func collectLess() {
	const standard = 100
	if old := debug.SetGCPercent(collectPercent); old != standard {
		debug.SetGCPercent(old)
	}
}
