package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Most licences have a few kilobytes; the longest that occurs, a file of several, has less than 64.
const maxLicence = 1 << 20

// licences lists the SPDX identifiers that are told, each with phrases that all have to occur and phrases of
// which none may. The text is small letters and digits with one space between words.
var licences = []struct {
	id         string
	has, hasNo []string
}{
	{id: "Apache-2.0", has: []string{"apache license version 2 0 january 2004", "terms and conditions for use reproduction and distribution"}},
	{id: "MPL-2.0", has: []string{"mozilla public license version 2 0", "1 definitions"}},
	{id: "MIT", has: []string{
		"permission is hereby granted free of charge to any person obtaining a copy of this software",
		"the above copyright notice and this permission notice shall be included in all copies",
		"the software is provided as is",
	}},
	{id: "ISC", has: []string{"permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted"}},
	{id: "BSD-3-Clause", has: []string{bsd, bsdDisclaimer, "endorse or promote products derived from this software"}, hasNo: []string{"all advertising materials"}},
	{id: "BSD-2-Clause", has: []string{bsd, bsdDisclaimer}, hasNo: []string{"endorse or promote", "all advertising materials"}},
}

const (
	bsd           = "redistribution and use in source and binary forms with or without modification are permitted provided that the following conditions are met"
	bsdDisclaimer = "this software is provided by"
)

// licenceFile and noticeFile are the names under which modules carry what they ask to be passed on.
// CC-licensed documentation (LICENSE.docs) is not linked.
var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[sc]es?|copying|unlicense)([._-](txt|md|rst|apache|apache2|mit|bsd|libyaml))*$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents)(\.(txt|md))?$`)
	notWord     = regexp.MustCompile(`[^a-z0-9]+`)
)

// terms are what a module asks for.
type terms struct {
	ids   []string // SPDX
	texts []string // of licences, then of notices
}

// readTerms reads the licence of a module.
func readTerms(dir string) (terms, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return terms{}, err
	}
	var t terms
	var notices []string
	for _, e := range entries {
		isLicence := licenceFile.MatchString(e.Name())
		if e.IsDir() || !isLicence && !noticeFile.MatchString(e.Name()) {
			continue
		}
		if info, err := e.Info(); err != nil {
			return terms{}, err
		} else if info.Size() > maxLicence {
			return terms{}, fmt.Errorf("%s: longer than a licence is", e.Name())
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return terms{}, err
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
		if !isLicence {
			notices = append(notices, text)
			continue
		}
		ids := identify(text)
		if len(ids) == 0 {
			return terms{}, fmt.Errorf("%s: not a licence that is known here", e.Name())
		}
		t.ids = append(t.ids, ids...)
		t.texts = append(t.texts, text)
	}
	if len(t.texts) == 0 {
		return terms{}, fmt.Errorf("no licence in %s", filepath.Base(dir))
	}
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
	t.texts = append(t.texts, notices...)
	return t, nil
}

// identify returns the SPDX identifiers of the licences in a text, in no order that means anything.
func identify(text string) []string {
	words := notWord.ReplaceAllString(strings.ToLower(text), " ")
	contains := func(phrase string) bool { return strings.Contains(words, phrase) }
	var ids []string
	for _, l := range licences {
		if !slices.ContainsFunc(l.has, func(p string) bool { return !contains(p) }) && !slices.ContainsFunc(l.hasNo, contains) {
			ids = append(ids, l.id)
		}
	}
	return ids
}
