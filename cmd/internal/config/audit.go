package config

import "time"

// Defaults and limits of the record of issue; see [Audit].
const (
	defaultSegment    = 64 << 20
	defaultSegmentAge = 24 * time.Hour
	defaultStampEvery = time.Hour

	// minSegment holds a thousand records or so. Each segment is a file, and
	// its end is stamped.
	minSegment = 256 << 10
	// minRetention keeps a mistake in the unit from removing the record.
	minRetention = 30 * 24 * time.Hour
	// minStampEvery is for tests; a stamp a minute is a lot.
	minStampEvery = time.Second
)

// Complete fills in the defaults.
func (a *Audit) Complete() {
	if a.Segment == 0 {
		a.Segment = defaultSegment
	}
	if a.SegmentAge == 0 {
		a.SegmentAge = Duration(defaultSegmentAge)
	}
	if a.StampEvery == 0 {
		a.StampEvery = Duration(defaultStampEvery)
	}
	if len(a.Stamp) == 0 {
		a.Stamp = []StampURL{StampSelf}
	}
}

func (k *checker) audit(a *Audit) {
	if a.Dir == "" {
		k.add("audit.dir", "required: a folder for the record of issue, of this instance alone")
	}
	if a.Segment < minSegment {
		k.add("audit.segment", "%d is less than %d bytes", a.Segment, minSegment)
	}
	if r := time.Duration(a.Retention); r != 0 && r < minRetention {
		k.add("audit.retention", "%v is less than %v", r, minRetention)
	}
	if e := time.Duration(a.StampEvery); e < minStampEvery {
		k.add("audit.stamp-every", "%v is less than %v", e, minStampEvery)
	}
	for _, u := range a.Stamp {
		if u == StampOff && len(a.Stamp) > 1 {
			k.add("audit.stamp", "off stands alone")
		}
	}
}
