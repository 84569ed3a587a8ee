package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of files.
const (
	nameSuffix = ".jsonl"
	nameTime   = "20060102T150405Z"
	nameDigits = 8 // of the number: a file an hour for 11,000 years

	// asideSuffix is for what was cut off a file.
	asideSuffix = ".torn"
	// lockName is the file that the writer locks.
	lockName = "lock"
)

// segmentName returns the name of a file that begins at a time.
func segmentName(number uint64, t time.Time) string {
	return fmt.Sprintf("%0*d-%s%s", nameDigits, number, t.UTC().Format(nameTime), nameSuffix)
}

// parseName returns the number of a file, and false if the name is not that of
// a segment.
func parseName(name string) (number uint64, ok bool) {
	number, _, ok = splitName(name)
	return number, ok
}

// beginning returns when a file begins, by its name.
func beginning(name string) (began time.Time, ok bool) {
	_, began, ok = splitName(name)
	return began, ok
}

func splitName(name string) (number uint64, began time.Time, ok bool) {
	stem, ok := strings.CutSuffix(name, nameSuffix)
	if !ok {
		return 0, began, false
	}
	digits, when, ok := strings.Cut(stem, "-")
	if !ok || len(digits) < nameDigits {
		return 0, began, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || number == 0 {
		return 0, began, false
	}
	began, err = time.Parse(nameTime, when)
	if err != nil || segmentName(number, began) != name {
		return 0, began, false
	}
	return number, began, true
}

// A segment is a file of the log.
type segment struct {
	number uint64
	name   string
}

// segments picks the files of the log from a listing, in their order.
func segments(names []string) []segment {
	var list []segment
	for _, name := range names {
		if n, ok := parseName(name); ok {
			list = append(list, segment{n, name})
		}
	}
	slices.SortFunc(list, func(a, b segment) int {
		if a.number != b.number {
			if a.number < b.number {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return list
}
