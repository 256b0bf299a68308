package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"citadel.dev/runtimes/internal/wire"
)

func archiveOf(name, content string) []byte {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	writer.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))})
	writer.Write([]byte(content))
	writer.Close()
	return archive.Bytes()
}

// give hands a tree to the shim in small pieces, as the runner does.
func give(t *testing.T, blobs *incoming, archive []byte) {
	t.Helper()
	name := append([]byte{byte(len(wire.PackagesName))}, wire.PackagesName...)
	for len(archive) > 0 {
		count := min(len(archive), 700)
		if err := blobs.take(append(bytes.Clone(name), archive[:count]...)); err != nil {
			t.Fatal(err)
		}
		archive = archive[count:]
	}
	if err := blobs.take(name); err != nil {
		t.Fatal(err)
	}
}

func TestPackagesStayForAllStepsUntilSomebodyTouchesThem(t *testing.T) {
	root := filepath.Join(t.TempDir(), packagesName)
	blobs := &incoming{packages: packages{path: root}}
	if blobs.packages.name() != "" || blobs.packages.unchanged() != nil {
		t.Fatal("packages that never came")
	}
	give(t, blobs, archiveOf("python/a.py", "VALUE = 1"))
	if blobs.failure() != nil || blobs.packages.name() != packagesName || blobs.packages.unchanged() != nil {
		t.Fatal(blobs.failure(), blobs.packages.unchanged())
	}
	file := filepath.Join(root, "python", "a.py")
	if content, err := os.ReadFile(file); err != nil || string(content) != "VALUE = 1" {
		t.Fatalf("%q, %v", content, err)
	}
	os.Chmod(file, 0o644)
	if err := blobs.packages.unchanged(); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Error(err)
	}
}

func TestPackagesThatCannotBeUnpackedAreTheFailureOfTheFirstStep(t *testing.T) {
	for name, blobs := range map[string]*incoming{
		"no place":  {},
		"no tar":    {packages: packages{path: filepath.Join(t.TempDir(), "a")}},
		"a bad one": {packages: packages{path: filepath.Join(t.TempDir(), "b")}},
	} {
		archive := archiveOf("../evil", "x")
		if name == "no tar" {
			archive = bytes.Repeat([]byte("this is no tar "), 1000)
		}
		give(t, blobs, archive)
		failure := blobs.failure()
		if failure == nil || !strings.Contains(failure.Message, "the packages of the Runtime") {
			t.Errorf("%s: %v", name, failure)
		}
		if blobs.packages.name() != "" {
			t.Errorf("%s: taken for whole", name)
		}
	}
}
