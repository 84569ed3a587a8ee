package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The first words of licences, as they are laid out by different projects.
const (
	mit = `Copyright (c) 2014 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction. The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND`
	bsd2 = `Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
  * Redistributions of source code must retain the above copyright notice.
THIS SOFTWARE IS PROVIDED BY THE AUTHOR "AS IS"`
	bsd3 = bsd2 + `
  * Neither the name of Somebody nor the names of its contributors may be used to
    endorse or promote products derived from this software.`
	bsd4 = bsd3 + `
  * All advertising materials mentioning features of this software must say so.`
)

func TestIdentify(t *testing.T) {
	apache, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"Apache", string(apache), []string{"Apache-2.0"}},
		{"MIT", mit, []string{"MIT"}},
		{"MIT with other line ends", strings.ReplaceAll(mit, "\n", "\r\n\t// "), []string{"MIT"}},
		{"BSD with two clauses", bsd2, []string{"BSD-2-Clause"}},
		{"BSD with three clauses", bsd3, []string{"BSD-3-Clause"}},
		{"BSD with four clauses is another licence", bsd4, nil},
		{"two in one file", string(apache) + mit, []string{"Apache-2.0", "MIT"}},
		{"half of MIT", mit[:200], nil},
		{"Apache by name only", "Licensed under the Apache License, Version 2.0", nil},
		{"nothing", "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := identify(row.text)
			slices.Sort(got)
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestReadTerms(t *testing.T) {
	for _, row := range []struct {
		name  string
		files map[string]string
		ids   []string
		texts int
		fault string
	}{
		{"one", map[string]string{"LICENSE": mit, "main.go": "package x"}, []string{"MIT"}, 1, ""},
		{"with a notice", map[string]string{"LICENSE.txt": mit, "NOTICE": "Made by somebody"}, []string{"MIT"}, 2, ""},
		{"two", map[string]string{"COPYING": mit, "LICENSE.libyaml": bsd3}, []string{"BSD-3-Clause", "MIT"}, 2, ""},
		{"the same twice", map[string]string{"LICENSE": mit, "LICENCE.md": mit}, []string{"MIT"}, 2, ""},
		{"none", map[string]string{"README": mit}, nil, 0, "no licence"},
		{"a notice only", map[string]string{"NOTICE": mit}, nil, 0, "no licence"},
		{"one that is not known", map[string]string{"LICENSE": "Do good, not evil."}, nil, 0, "LICENSE: not a licence that is known"},
		{"one known and one not", map[string]string{"LICENSE": mit, "LICENSE-MIT": "Do good, not evil."}, nil, 0, "LICENSE-MIT: not a licence"},
		{"one without end", map[string]string{"LICENSE": strings.Repeat(" ", maxLicence+1)}, nil, 0, "longer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range row.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readTerms(dir)
			if row.fault != "" {
				if err == nil || !strings.Contains(err.Error(), row.fault) {
					t.Fatalf("error %v, want one with %q", err, row.fault)
				}
				return
			}
			if err != nil || !slices.Equal(got.ids, row.ids) || len(got.texts) != row.texts {
				t.Errorf("got %q in %d texts, %v, want %q in %d", got.ids, len(got.texts), err, row.ids, row.texts)
			}
		})
	}
}
