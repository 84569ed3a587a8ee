//go:build !race

package access

// manyAddresses is from how many TestMemoryBound asks.
const manyAddresses = 10_000_000
