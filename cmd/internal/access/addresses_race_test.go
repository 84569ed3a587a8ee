//go:build race

package access

// manyAddresses is from how many TestMemoryBound asks: the race detector takes
// twenty times as long, and has nothing to find there.
const manyAddresses = 500_000
