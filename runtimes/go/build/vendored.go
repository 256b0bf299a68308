package main

import (
	"bufio"
	"errors"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packagesVariable tells where the Runtime's packages are; below it, vendor/ is as `go mod vendor` makes it.
const packagesVariable = "CITADEL_PACKAGES"

// vendored compiles what a step imports of the Runtime's modules. Only Go is compiled: for what also comes in assembly,
// packages have a form without, chosen by a tag.
type vendored struct {
	builder    *builder
	directory  string            // "" where the Runtime has no modules
	importable map[string]bool   // what the image has
	languages  map[string]string // module -> version of Go that it is written for
	compiled   map[string]string // import path -> file, "" while its own imports are looked at
	order      []string
}

func newVendored(b *builder, importable map[string]bool) (*vendored, error) {
	v := &vendored{builder: b, importable: importable, languages: map[string]string{}, compiled: map[string]string{}}
	packages := os.Getenv(packagesVariable)
	if packages == "" {
		return v, nil
	}
	directory := filepath.Join(packages, "vendor")
	listed, err := os.Open(filepath.Join(directory, "modules.txt"))
	if errors.Is(err, os.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	defer listed.Close()
	v.directory = directory
	module := ""
	for lines := bufio.NewScanner(listed); lines.Scan(); {
		line := lines.Text()
		if name, found := strings.CutPrefix(line, "# "); found {
			module, _, _ = strings.Cut(name, " ")
			v.languages[module] = ""
		} else if _, version, found := strings.Cut(line, "; go "); found {
			v.languages[module] = version
		}
	}
	return v, nil
}

// has tells whether the modules have a package that others may import.
func (v *vendored) has(name string) bool {
	if v.directory == "" || !filepath.IsLocal(name) || strings.Contains("/"+name+"/", "/internal/") {
		return false
	}
	info, err := os.Stat(filepath.Join(v.directory, name))
	return err == nil && info.IsDir()
}

// compile compiles a package and everything that it imports; the error is for people.
func (v *vendored) compile(name string) error {
	if file, begun := v.compiled[name]; begun {
		if file == "" {
			return fmt.Errorf("package %s imports itself", name)
		}
		return nil
	}
	v.compiled[name] = ""
	context := build.Default
	context.CgoEnabled, context.GOPATH, context.BuildTags = false, "", []string{"purego", "noasm"}
	found, err := context.ImportDir(filepath.Join(v.directory, name), build.IgnoreVendor)
	if err != nil {
		return fmt.Errorf("package %s: %v", name, err)
	}
	if len(found.SFiles) > 0 || len(found.EmbedPatterns) > 0 {
		return fmt.Errorf("package %s has parts in assembly, or files that it embeds: that takes an image of your own", name)
	}
	for _, other := range found.Imports {
		if v.importable[other] || other == "unsafe" {
			continue
		}
		if info, err := os.Stat(filepath.Join(v.directory, other)); err != nil || !info.IsDir() {
			return fmt.Errorf("package %s needs %s, which is not listed in packages.go", name, other)
		}
		if err := v.compile(other); err != nil {
			return err
		}
	}
	return v.compileFiles(name, found)
}

func (v *vendored) compileFiles(name string, found *build.Package) error {
	configuration, err := v.configuration()
	if err != nil {
		return err
	}
	file := filepath.Join(v.builder.directory, fmt.Sprintf("vendored%d.a", len(v.order)))
	arguments := []string{"-o", file, "-p", name, "-complete", "-pack", "-c=2", "-importcfg", configuration, "-trimpath", found.Dir}
	if version := v.language(name); version != "" {
		arguments = append(arguments, "-lang=go"+version)
	}
	for _, each := range found.GoFiles {
		arguments = append(arguments, filepath.Join(found.Dir, each))
	}
	if said, err := v.builder.tool("compile", arguments...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		return fmt.Errorf("package %s cannot be compiled: %s", name, beginning(said))
	}
	v.compiled[name] = file
	v.order = append(v.order, name)
	return nil
}

// language is the version of Go that the module of a package is written for, as the compiler wants it.
func (v *vendored) language(name string) string {
	for at := name; at != "." && at != "/"; at = filepath.Dir(at) {
		if version, found := v.languages[at]; found {
			parts := strings.SplitN(version, ".", 3)
			return strings.Join(parts[:min(2, len(parts))], ".")
		}
	}
	return ""
}

// configuration is the list of all that can be imported by now.
func (v *vendored) configuration() (string, error) {
	kit := filepath.Join(v.builder.kit, "importcfg")
	if len(v.order) == 0 {
		return kit, nil
	}
	listed, err := os.ReadFile(kit)
	if err != nil {
		return "", err
	}
	for _, name := range v.order {
		listed = fmt.Appendf(listed, "packagefile %s=%s\n", name, v.compiled[name])
	}
	path := filepath.Join(v.builder.directory, "importcfg")
	return path, os.WriteFile(path, listed, 0o600)
}
