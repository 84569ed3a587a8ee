package audit

import "time"

// format is the version of the format of the files.
const format = 1

// A Segment is the first record of a file.
type Segment struct {
	Segment  uint64 // the number of the file, from 1
	Format   uint64 // 1
	Instance string // which of several servers writes it
	Host     string // the name of the machine
	Program  string // name and version
	PrevSeq  uint64 // the number of the last record of the file before, 0 in the first file
	PrevHash Hash   // its hash, zero in the first file
	Stamped  uint64 // the number of the last record that a timestamp is known for
	// Unsealed says why the file before has no seal: RecoveredFailed or
	// RecoveredDamaged. What follows record PrevSeq in that file is void then.
	// "": left out, it has one.
	Unsealed RecoveredReason
}

// Kind returns KindSegment.
func (*Segment) Kind() Kind { return KindSegment }

func (r *Segment) fields(c *coder) {
	c.count("segment", &r.Segment)
	c.count("format", &r.Format)
	c.text("instance", &r.Instance)
	c.text("host", &r.Host)
	c.text("program", &r.Program)
	c.count("prev_n", &r.PrevSeq)
	c.hash("prev_hash", &r.PrevHash)
	c.count("stamped_n", &r.Stamped)
	c.option("unsealed", (*string)(&r.Unsealed))
}

// A Seal is the last record of a file that is full or old enough.
type Seal struct {
	Count    uint64     // how many records the file has, this one among them
	Reason   SealReason // why it ends
	Earliest time.Time  // the earliest time in it, of a record or a token
	Latest   time.Time  // the latest
}

// A SealReason says why a file was sealed.
type SealReason string

// Why a file is sealed.
const (
	SealedSize SealReason = "size"
	SealedAge  SealReason = "age"
)

// Kind returns KindSeal.
func (*Seal) Kind() Kind { return KindSeal }

func (r *Seal) fields(c *coder) {
	c.count("count", &r.Count)
	c.text("reason", (*string)(&r.Reason))
	c.time("earliest", &r.Earliest)
	c.time("latest", &r.Latest)
}

// A Stamp is a timestamp over the hash of an earlier record, and so over all
// records up to that one. The imprint is SHA-256 and the hash itself is the
// digest.
type Stamp struct {
	Seq   uint64 // the number of the record
	Head  Hash   // its hash
	Token []byte // DER of the TimeStampToken
}

// Kind returns KindStamp.
func (*Stamp) Kind() Kind { return KindStamp }

func (r *Stamp) fields(c *coder) {
	c.count("head_n", &r.Seq)
	c.hash("head", &r.Head)
	c.base64("token", &r.Token)
}

// A Recovered is the record of something that had to be mended, so that it is
// known for ever.
type Recovered struct {
	Reason RecoveredReason
	Name   string   // the file that it is about
	Seq    uint64   // the last record that was kept
	Offset uint64   // where in that file what was lost begins, in bytes
	Bytes  uint64   // how many bytes were lost or are not to be relied upon
	SHA256 [32]byte // of these bytes, zero if they could not be read
	Aside  string   // the file they were put into; "": left out, there is none
	Detail string   // "": left out
}

// A RecoveredReason says what had to be mended.
type RecoveredReason string

// What has to be mended.
const (
	// RecoveredTorn: the end of the last file was not written whole, when the
	// power failed or the process was killed. Nothing of a torn group was ever
	// confirmed. A disk that damages the last group of all looks the same.
	RecoveredTorn RecoveredReason = "torn"
	// RecoveredFailed: the disk refused a write, and those who waited for it
	// were told.
	RecoveredFailed RecoveredReason = "failed"
	// RecoveredDamaged: records that had been confirmed are not what was
	// written. The file was left as it is.
	RecoveredDamaged RecoveredReason = "damaged"
)

// Kind returns KindRecovered.
func (*Recovered) Kind() Kind { return KindRecovered }

func (r *Recovered) fields(c *coder) {
	c.text("reason", (*string)(&r.Reason))
	c.text("name", &r.Name)
	c.count("last_n", &r.Seq)
	c.count("offset", &r.Offset)
	c.count("bytes", &r.Bytes)
	c.digest("sha256", &r.SHA256)
	c.option("aside", &r.Aside)
	c.option("detail", &r.Detail)
}

// A Removed is the record of a file that reached its age, written before the
// file was removed.
type Removed struct {
	Segment uint64 // the number of the file
	Name    string
	First   uint64 // the number of its first record
	Last    uint64 // that of its last
	Head    Hash   // the hash of its last
}

// Kind returns KindRemoved.
func (*Removed) Kind() Kind { return KindRemoved }

func (r *Removed) fields(c *coder) {
	c.count("segment", &r.Segment)
	c.text("name", &r.Name)
	c.count("first_n", &r.First)
	c.count("last_n", &r.Last)
	c.hash("last_hash", &r.Head)
}
