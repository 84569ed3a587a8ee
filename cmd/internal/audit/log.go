package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrUnavailable is wrapped by the errors of [Log.Append] and [Log.Ready] when
// nothing can be recorded: nothing must be issued.
var ErrUnavailable = errors.New("audit: nothing can be recorded")

// ErrLocked is wrapped by the error of [Open] when another process writes to
// the folder.
var ErrLocked = errors.New("the folder is in use")

// ErrClosed is returned by methods of a log that was closed.
var ErrClosed = errors.New("audit: the log is closed")

// Defaults and limits.
const (
	// DefaultSegmentSize is a day of one token a second, and read in a second.
	DefaultSegmentSize = 64 << 20
	// DefaultSegmentAge makes a file a day.
	DefaultSegmentAge = 24 * time.Hour
	// DefaultStampEvery bounds what an intruder could take back unseen.
	DefaultStampEvery = time.Hour

	// minSegmentSize holds the longest line, a header and a seal.
	minSegmentSize = 2 * MaxLine
	// maxGroup is how many bytes wait to be written together. A disk takes so
	// much in a few milliseconds. Who comes later waits for the next group.
	maxGroup = 1 << 20
	// hungAfter is how long a disk may take. One that is alive takes milliseconds,
	// and under heavy load a second; a network's that has lost its server does not
	// answer, and does not fail either.
	hungAfter = 5 * time.Second
	// repairEvery is how often a failed disk is tried again.
	repairEvery = time.Second
)

// A Config says where and how a log is kept.
type Config struct {
	// Dir is the folder, which belongs to this log and process alone. It is made
	// if it is not there.
	Dir string
	// MustExist refuses to begin a new log in an empty folder, which may be a
	// volume that is not mounted. False begins one.
	MustExist bool
	// Instance, Host and Program are named in each file. They may be empty.
	Instance, Host, Program string
	// SegmentSize is how long a file may become, in bytes, and at least 128 KiB.
	// 0 means DefaultSegmentSize.
	SegmentSize int64
	// SegmentAge is how long a file is written to. 0 means DefaultSegmentAge.
	SegmentAge time.Duration
	// Retention is how long records are kept at least: a file is removed when
	// all that is in it is older, and covered by a timestamp if Stamp is set. 0
	// keeps everything.
	Retention time.Duration
	// RetentionClock tells the time for Retention. An error means that nothing is
	// removed now, so that a clock that runs wild does not empty the folder. Nil
	// means Now.
	RetentionClock func(context.Context) (time.Time, error)
	// Stamp returns the DER of a TimeStampToken over a SHA-256 digest. Nil means
	// that the log is not timestamped. The authority may be the one whose tokens
	// are recorded here, if it appends with the context that Stamp is given; one
	// of somebody else proves more.
	Stamp func(ctx context.Context, digest []byte) (token []byte, err error)
	// StampEvery is how long a record waits for its timestamp at most. 0 means
	// DefaultStampEvery.
	StampEvery time.Duration
	// Now is the wall clock. Nil means time.Now.
	Now func() time.Time
	// Observe is told of each group that was written, or was not. It is called
	// from one goroutine at a time and must not call the log. Nil means that
	// nobody is told.
	Observe func(Written)

	repairEvery time.Duration // of tests; 0 means the constant
}

// A Written is a group of records on its way to the disk.
type Written struct {
	Records int           // how many
	Bytes   int           // how many, 0 if they were not written
	Took    time.Duration // writing and syncing; 0 if it was not tried
	Err     error         // why they are not recorded, nil if they are
}

func (c *Config) check() error {
	switch {
	case c.Dir == "":
		return errors.New("audit: no folder")
	case c.SegmentSize < 0 || c.SegmentSize > 0 && c.SegmentSize < minSegmentSize:
		return fmt.Errorf("audit: a segment of %d bytes, at least %d are needed", c.SegmentSize, minSegmentSize)
	case c.SegmentAge < 0:
		return fmt.Errorf("audit: a segment's age of %v", c.SegmentAge)
	case c.Retention < 0:
		return fmt.Errorf("audit: a retention of %v", c.Retention)
	case c.StampEvery < 0:
		return fmt.Errorf("audit: a timestamp every %v", c.StampEvery)
	}
	return nil
}

func (c *Config) fill() {
	if c.SegmentSize == 0 {
		c.SegmentSize = DefaultSegmentSize
	}
	if c.SegmentAge == 0 {
		c.SegmentAge = DefaultSegmentAge
	}
	if c.StampEvery == 0 {
		c.StampEvery = DefaultStampEvery
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.RetentionClock == nil {
		c.RetentionClock = func(context.Context) (time.Time, error) { return c.Now(), nil }
	}
	if c.Observe == nil {
		c.Observe = func(Written) {}
	}
	if c.repairEvery == 0 {
		c.repairEvery = repairEvery
	}
}

// A Log is an open log. Its methods may be called from several goroutines at
// once.
type Log struct {
	cfg  Config
	disk disk

	// stampDue wakes Run: a file was sealed. It has room for one.
	stampDue chan struct{}

	mu      sync.Mutex
	batch   *batch    // that gathers, nil if nobody waits
	writing bool      // a goroutine owns w
	began   time.Time // when it began with the current group, zero for none
	idle    *sync.Cond
	closed  bool
	state   State
	past    []past    // the files before the current one, oldest first
	retry   time.Time // when a broken log is tried again
	news    uint64    // records since the last timestamp that are worth one
	spare   []byte    // of the last batch

	w writer // owned by who set writing
}

// A batch is what waits to be written together.
type batch struct {
	bodies  []byte
	ends    []int     // of each, in bodies
	news    uint64    // how many are worth a timestamp
	stamped uint64    // the last record that one of them is a timestamp of
	early   time.Time // the earliest in a token
	late    time.Time // the latest

	taken chan struct{} // closed when it gathers no more
	done  chan struct{} // closed when it was written, or was not
	err   error         // once done is closed
}

// State is what a log is doing.
type State struct {
	Err         error         // why nothing can be recorded; nil when it can
	Segment     string        // the name of the current file
	Seq         uint64        // the number of the last record on the disk
	Head        Hash          // its hash: keep it elsewhere, and Verify will miss what is gone
	Bytes       int64         // the length of the current file
	Waiting     int           // how many records wait to be written
	Records     uint64        // how many were written since Open
	Written     uint64        // and how many bytes
	Syncs       uint64        // in how many groups
	Failures    uint64        // how many groups were not written
	LastSync    time.Duration // how long the last group took
	Stamped     uint64        // the number of the last record under a timestamp
	StampErr    error         // why the last timestamp was not made, nil if it was
	Unstamped   int           // full files that wait for a timestamp
	Segments    int           // how many files there are
	RetainErr   error         // why files that reached their age are still there, nil if none are
	LastRemoved string        // the last file that reached its age since Open
}

// Open opens the log in a folder, verifies the last file, mends what a crash
// left, and continues. Nobody else may write to the folder until Close.
//
// The errors wrap ErrLocked if another process has the folder, and an error of
// the disk has a method Advice that says what to do.
func Open(cfg Config) (*Log, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d, err := newDisk(cfg.Dir)
	if err != nil {
		return nil, startError(cfg.Dir, err)
	}
	return open(cfg, d)
}

// open is Open on any disk. It closes d if it fails.
func open(cfg Config, d disk) (*Log, error) {
	cfg.fill()
	l := &Log{cfg: cfg, disk: d, stampDue: make(chan struct{}, 1)}
	l.idle = sync.NewCond(&l.mu)
	l.w = writer{cfg: &l.cfg, disk: d, group: newGroup()}
	err := d.Lock()
	if err == nil {
		l.past, err = l.w.resume()
	}
	if err != nil {
		_ = l.w.close() // it is given up
		_ = d.Close()
		return nil, startError(cfg.Dir, err)
	}
	l.state.Stamped = l.w.stamped
	l.news = l.w.at.n - l.w.stamped
	l.publish(nil)
	return l, nil
}

// Append records rec and returns when it is on the disk. After an error that
// wraps ErrUnavailable nothing may be issued; Append tries by itself whether the
// disk works again.
//
// If ctx ends first, Append returns its error, and the record may be written
// all the same. That does no harm: a token that nobody got is on record.
func (l *Log) Append(ctx context.Context, rec Record) error {
	switch rec.(type) {
	case *Token, *Start, *Stop, *Loaded, *Key, *Clock:
		return l.append(ctx, rec)
	}
	return fmt.Errorf("audit: records of kind %s are written by the log alone", rec.Kind())
}

func (l *Log) append(ctx context.Context, rec Record) error {
	c := coders.Get().(*coder)
	defer c.put()
	if err := encode(c, rec); err != nil {
		return err
	}
	b, err := l.join(ctx, c.buf, rec)
	if err != nil {
		return err
	}
	return b.wait(ctx)
}

// hung says that the disk does not answer, under l.mu.
func (l *Log) hung() error {
	if l.began.IsZero() || time.Since(l.began) < hungAfter {
		return nil
	}
	return &diskError{
		text: "writing " + l.state.Segment, err: errHung,
		advice: "look into the kernel's log: the disk that holds " + l.cfg.Dir + " hangs; if it is a network's, is its server there?",
	}
}

var errHung = fmt.Errorf("the disk has not answered for more than %v", hungAfter)

// Ready says why nothing can be recorded, nil if it can. It tries to mend what
// is broken, so that a server to which nobody sends requests any more recovers.
func (l *Log) Ready(ctx context.Context) error {
	l.mu.Lock()
	if l.state.Err == nil && !l.closed && l.hung() == nil {
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	b, err := l.join(ctx, nil, nil)
	if err != nil {
		return err
	}
	return b.wait(ctx)
}

// State returns what the log is doing, without waiting for the disk.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	s.Waiting += l.batch.len()
	if s.Err == nil {
		s.Err = l.hung()
	}
	return s
}

// Close waits for what is being written and gives the folder back. The file is
// continued by the next Open. From a disk that does not answer Close returns
// with an error, and the folder stays locked until the process ends.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for l.writing {
		if err := l.hung(); err != nil {
			l.mu.Unlock()
			return err
		}
		wake := time.AfterFunc(hungAfter, l.idle.Broadcast)
		l.idle.Wait()
		wake.Stop()
	}
	l.mu.Unlock()
	err := l.w.close()
	if err = errors.Join(err, l.disk.Close()); err != nil {
		return fmt.Errorf("audit: closing: %w", err)
	}
	return nil
}

// coders are used again, for their buffers.
var coders = sync.Pool{New: func() any { return new(coder) }}

// maxSpare bounds the buffers that are kept.
const maxSpare = 4 << 10

func (c *coder) put() {
	if cap(c.buf) > maxSpare {
		return
	}
	*c = coder{buf: c.buf[:0]}
	coders.Put(c)
}
