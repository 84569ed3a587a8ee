package truststore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// An Entry is a file of a store.
type Entry struct {
	Type  Type
	Store string
	// File is its name; empty if Err is about the store as a whole.
	File string
	Path string
	// Certificates are what could be read.
	Certificates []*x509.Certificate
	// Err is why the store cannot be used for verification, an *[Error].
	Err error
}

// A Filter chooses what is listed. Empty fields choose everything.
type Filter struct {
	Type  Type
	Store string
}

// List returns what is in the stores, in the order of types, names and files,
// with what is wrong with it. The error is an *[Error]: the store that the
// filter names is not there, or a folder cannot be read.
func (s *Store) List(filter Filter) ([]Entry, error) {
	types := Types()
	if filter.Type != "" {
		if _, err := ParseType(string(filter.Type)); err != nil {
			return nil, err
		}
		types = []Type{filter.Type}
	}
	if filter.Store != "" {
		if err := CheckName(filter.Store); err != nil {
			return nil, err
		}
	}
	var out []Entry
	for _, t := range types {
		names, err := s.stores(t)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if filter.Store == "" || filter.Store == name {
				out = append(out, s.entries(t, name)...)
			}
		}
	}
	if len(out) == 0 && filter.Store != "" {
		what := filter.Store
		if filter.Type != "" {
			what = string(filter.Type) + ":" + what
		}
		return nil, &Error{Reason: ReasonAbsent, Type: filter.Type, Store: filter.Store, Err: fmt.Errorf("there is no trust store %s: %w", what, fs.ErrNotExist),
			advice: "fencepost trust list shows what there is"}
	}
	return out, nil
}

// stores returns the names of the stores of a type. Mere files beside them are
// nobody's, such as those that file managers leave.
func (s *Store) stores(t Type) ([]string, error) {
	dir := filepath.Join(s.dir, string(t))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, &Error{Reason: ReasonIO, Type: t, Path: dir, Err: fmt.Errorf("trust stores: %w", err)}
	}
	var names []string
	for _, e := range entries {
		if !e.Type().IsRegular() && CheckName(e.Name()) == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// entries returns what is in one store.
func (s *Store) entries(t Type, name string) (out []Entry) {
	for range attempts {
		out = s.entriesOnce(t, name)
		if !slices.ContainsFunc(out, func(e Entry) bool { return errors.Is(e.Err, errVanished) }) {
			break
		}
	}
	return out
}

func (s *Store) entriesOnce(t Type, name string) []Entry {
	store := Entry{Type: t, Store: name, Path: s.path(t, name)}
	files, err := s.files(t, name)
	if err == nil && len(files) == 0 {
		_, err = s.certificates(t, name) // says that it is empty
	}
	if err != nil {
		store.Err = err
		return []Entry{store}
	}
	var out []Entry
	for _, file := range files {
		e := store
		e.File, e.Path = file, filepath.Join(e.Path, file)
		e.Certificates, e.Err = s.file(t, name, file)
		out = append(out, e)
	}
	return out
}

// Show returns one file of a store. What is wrong with it is in the entry; the
// error is an *[Error] if there is no such file.
func (s *Store) Show(t Type, name, file string) (Entry, error) {
	path, err := s.within(t, name, file)
	if err != nil {
		return Entry{}, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return Entry{}, s.absent(t, name, file)
	}
	e := Entry{Type: t, Store: name, File: file, Path: path}
	e.Certificates, e.Err = s.file(t, name, file)
	return e, nil
}
