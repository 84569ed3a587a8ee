package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// errPower is what every operation returns after the power was cut.
var errPower = errors.New("simulated: no power")

// A simDisk is a disk with a volatile cache. What was written and not synced is
// lost, kept or torn by sectors when the power is cut, and so are names.
type simDisk struct {
	mu      sync.Mutex
	rng     *rand.Rand
	names   map[string]*simInode // as programs see them
	durable map[string]*simInode // as they are after a power cut
	pending []func(map[string]*simInode)
	stale   []byte // what was on the disk before, somewhere

	ops   int                          // so far
	cutAt int                          // the operation at which the power is cut; 0: never
	fault func(op string, n int) error // of an operation; nil: none
	off   bool
}

type simInode struct {
	mem   []byte       // as programs see it
	disk  []byte       // as it is on the disk
	dirty map[int]bool // sectors of mem that a sync would write
}

func newSimDisk(rng *rand.Rand) *simDisk {
	return &simDisk{rng: rng, names: map[string]*simInode{}, durable: map[string]*simInode{}}
}

// step counts an operation, under d.mu. A write that is cut off is done in part.
func (d *simDisk) step(op string) error {
	d.ops++
	if d.off || d.cutAt > 0 && d.ops >= d.cutAt {
		d.off = true
		return errPower
	}
	if d.fault != nil {
		if err := d.fault(op, d.ops); err != nil {
			return &fs.PathError{Op: op, Path: "simulated", Err: err}
		}
	}
	return nil
}

// powerOn returns the disk as it is after a power cut.
func (d *simDisk) powerOn() *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := newSimDisk(d.rng)
	// The folder is journalled: its changes survive in order, up to some point.
	for _, change := range d.pending[:d.rng.IntN(len(d.pending)+1)] {
		change(d.durable)
	}
	kept := map[*simInode]*simInode{}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		old := d.durable[name]
		if kept[old] == nil {
			b := d.survivors(old)
			kept[old] = &simInode{mem: b, disk: slices.Clone(b), dirty: map[int]bool{}}
		}
		n.names[name], n.durable[name] = kept[old], kept[old]
	}
	n.stale = d.stale
	return n
}

// survivors returns what is left of a file.
func (d *simDisk) survivors(f *simInode) []byte {
	size := len(f.disk)
	if len(f.mem) != len(f.disk) {
		switch d.rng.IntN(3) {
		case 0: // the old length
		case 1:
			size = len(f.mem)
		default: // something between
			lo, hi := min(len(f.mem), len(f.disk)), max(len(f.mem), len(f.disk))
			size = lo + d.rng.IntN(hi-lo+1)
		}
	}
	b := make([]byte, size)
	copy(b, f.disk)
	// What is beyond the old end may be anything.
	if size > len(f.disk) && d.rng.IntN(2) == 0 && len(d.stale) > 0 {
		for i := len(f.disk); i < size; i++ {
			b[i] = d.stale[i%len(d.stale)]
		}
	}
	keep := d.rng.IntN(3) // all, none, or by chance
	for s := range f.dirty {
		if keep == 1 || keep == 2 && d.rng.IntN(2) == 0 {
			continue
		}
		from := s * sector
		to := min(from+sector, len(f.mem), size)
		if from < to {
			copy(b[from:to], f.mem[from:to])
		}
	}
	return b
}

func (d *simDisk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.names)), d.step("list")
}

func (d *simDisk) Lock() error { return nil }

func (d *simDisk) Live() bool { return false }

func (d *simDisk) Close() error { return nil }

func (d *simDisk) Read(name string) (reader, error) { return d.open("read", name) }

func (d *simDisk) Write(name string) (file, error) { return d.open("open", name) }

func (d *simDisk) open(op, name string) (*simFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(op); err != nil {
		return nil, err
	}
	f := d.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return &simFile{d, f}, nil
}

func (d *simDisk) Create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("create"); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &simInode{dirty: map[int]bool{}}
	d.change(func(m map[string]*simInode) { m[name] = f })
	return &simFile{d, f}, nil
}

// change alters the folder, in memory now and on the disk some time.
func (d *simDisk) change(f func(map[string]*simInode)) {
	f(d.names)
	d.pending = append(d.pending, f)
}

func (d *simDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("rename"); err != nil {
		return err
	}
	f := d.names[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	d.change(func(m map[string]*simInode) { delete(m, from); m[to] = f })
	return nil
}

func (d *simDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("remove"); err != nil {
		return err
	}
	f := d.names[name]
	if f == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	d.stale = append(d.stale[:0], f.mem...)
	d.change(func(m map[string]*simInode) { delete(m, name) })
	return nil
}

func (d *simDisk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("sync folder"); err != nil {
		return err
	}
	for _, f := range d.pending {
		f(d.durable)
	}
	d.pending = nil
	return nil
}

// file returns the bytes of a file as a program sees them.
func (d *simDisk) file(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.names[name]; f != nil {
		return slices.Clone(f.mem)
	}
	return nil
}

type simFile struct {
	d *simDisk
	f *simInode
}

func (f *simFile) Close() error { return nil }

func (f *simFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.f.mem)), f.d.step("size")
}

func (f *simFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step("read"); err != nil {
		return 0, err
	}
	if off >= int64(len(f.f.mem)) {
		return 0, io.EOF
	}
	n := copy(b, f.f.mem[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *simFile) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step("write")
	if err != nil {
		b = b[:f.d.rng.IntN(len(b)+1)]
	}
	end := int(off) + len(b)
	if end > len(f.f.mem) {
		f.f.mem = append(f.f.mem, make([]byte, end-len(f.f.mem))...)
	}
	copy(f.f.mem[off:], b)
	for s := int(off) / sector; s*sector < end; s++ {
		f.f.dirty[s] = true
	}
	return len(b), err
}

func (f *simFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step("truncate"); err != nil {
		return err
	}
	if int(size) < len(f.f.mem) {
		f.d.stale = append(f.d.stale[:0], f.f.mem...)
		f.f.mem = f.f.mem[:size]
	}
	for s := range f.f.dirty {
		if s*sector >= int(size) {
			delete(f.f.dirty, s)
		}
	}
	return nil
}

// Sync that fails is as bad as that of Linux: what was to be written may be
// dropped, and is held for written from then on.
func (f *simFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step("sync")
	if errors.Is(err, errPower) {
		return err
	}
	if err != nil {
		for s := range f.f.dirty {
			if f.d.rng.IntN(2) == 0 {
				f.toDisk(s)
			}
		}
		clear(f.f.dirty)
		return err
	}
	for s := range f.f.dirty {
		f.toDisk(s)
	}
	clear(f.f.dirty)
	f.resize(len(f.f.mem))
	return nil
}

// toDisk writes a sector.
func (f *simFile) toDisk(s int) {
	from := s * sector
	to := min(from+sector, len(f.f.mem))
	if from >= to {
		return
	}
	if to > len(f.f.disk) {
		f.resize(to)
	}
	copy(f.f.disk[from:to], f.f.mem[from:to])
}

func (f *simFile) resize(n int) {
	if n <= len(f.f.disk) {
		f.f.disk = f.f.disk[:n]
		return
	}
	f.f.disk = append(f.f.disk, make([]byte, n-len(f.f.disk))...)
}

var (
	_ disk = (*simDisk)(nil)
	_ file = (*simFile)(nil)
)

func (d *simDisk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := ""
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		f := d.names[name]
		s += fmt.Sprintf("-- %s (%d bytes, %d on the disk, %d sectors dirty)\n%s", name, len(f.mem), len(f.disk), len(f.dirty), f.mem)
	}
	return s
}
