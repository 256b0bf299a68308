package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// places are where things are. The defaults are a sandbox's; all of them can be moved, for tests, by environment.
type places struct {
	runner   string // address
	work     string
	tmp      string
	data     string        // "" in a container that has none
	packages string        // where those of the Runtime come to; "" where they cannot
	own      []os.FileInfo // work, tmp and data, where the shim made them: user code has the same uid
}

// all are the places that there are.
func (p places) all() []string {
	if p.data == "" {
		return []string{p.work, p.tmp}
	}
	return []string{p.work, p.tmp, p.data}
}

// find is the directory of these places in which an absolute path lies, and the way from there.
func (p places) find(path string) (base, below string, err error) {
	for _, place := range []struct{ name, base string }{{"/work", p.work}, {"/tmp", p.tmp}, {"/data", p.data}} {
		if path != place.name && !strings.HasPrefix(path, place.name+"/") {
			continue
		}
		if place.base == "" {
			return "", "", fmt.Errorf("%s: this sandbox has no %s", path, place.name)
		}
		return place.base, strings.TrimPrefix(path, place.name), nil
	}
	return "", "", fmt.Errorf("%s: expected a path in /work or /data", path)
}

// within names the places that are directories of this one.
func (p places) within(directory string) []string {
	var names []string
	for _, place := range p.all() {
		if filepath.Dir(place) == directory {
			names = append(names, filepath.Base(place))
		}
	}
	return names
}

func placesFromEnvironment() (places, error) {
	p := places{
		runner: os.Getenv("CITADEL_SHIM_ADDRESS"),
		work:   os.Getenv("CITADEL_WORK_DIR"), tmp: os.Getenv("CITADEL_TMP_DIR"), data: os.Getenv("CITADEL_DATA_DIR"),
	}
	if os.Getpid() != 1 && (p.work == "" || p.tmp == "") {
		return p, errors.New("not process 1 of a container: CITADEL_WORK_DIR and CITADEL_TMP_DIR must name directories to empty")
	}
	for _, place := range []struct {
		value    *string
		fallback string
	}{{&p.runner, "127.0.0.1:7070"}, {&p.work, "/work"}, {&p.tmp, "/tmp"}} {
		if *place.value == "" {
			*place.value = place.fallback
		}
	}
	if scratch := os.Getenv("CITADEL_SCRATCH"); scratch != "" {
		p.work, p.tmp, p.data = filepath.Join(scratch, "work"), filepath.Join(scratch, "tmp"), ""
		// An image of before, or one that was made by hand, has no link to it.
		if data := filepath.Join(scratch, "data"); linksTo("/data", data) {
			p.data = data
		}
		p.packages = filepath.Join(scratch, packagesName)
		os.Setenv(packagesVariable, p.packages)
		for _, directory := range p.all() {
			// Some are volumes already.
			if err := os.Mkdir(directory, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return p, err
			}
			info, err := os.Lstat(directory)
			if err != nil {
				return p, err
			}
			p.own = append(p.own, info)
		}
		os.Setenv("TMPDIR", p.tmp)
	}
	for _, directory := range p.all() {
		if info, err := os.Stat(directory); err != nil {
			return p, err
		} else if !info.IsDir() {
			return p, fmt.Errorf("%s is not a directory", directory)
		}
	}
	for _, name := range []string{"CITADEL_SHIM_ADDRESS", "CITADEL_WORK_DIR", "CITADEL_TMP_DIR", "CITADEL_DATA_DIR", "CITADEL_SCRATCH"} {
		os.Unsetenv(name)
	}
	os.Setenv("HOME", p.work)
	return p, nil
}

func linksTo(link, target string) bool {
	found, err := os.Readlink(link)
	return err == nil && found == target
}
