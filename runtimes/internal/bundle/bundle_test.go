package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func packed(t *testing.T, base, below string) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, Pack(base, below, &out))
	return out.Bytes()
}

func TestATreeIsTheSameAgain(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(from, "src", "deep", "empty"), 0o700))
	must(t, os.WriteFile(filepath.Join(from, "src", "ü.txt"), []byte("text"), 0o600))
	must(t, os.WriteFile(filepath.Join(from, "src", "deep", "run"), []byte("#!"), 0o4755))
	must(t, os.Symlink("../ü.txt", filepath.Join(from, "src", "deep", "link")))
	must(t, os.WriteFile(filepath.Join(from, "src", strings.Repeat("n", 200)), nil, 0o600))
	first := packed(t, from, "src")
	must(t, Unpack(to, "data/copy", bytes.NewReader(first)))
	if !bytes.Equal(packed(t, to, "data/copy"), first) {
		t.Error("the same tree gives other bytes")
	}
	run, err := os.Stat(filepath.Join(to, "data/copy/deep/run"))
	must(t, err)
	if run.Mode() != 0o755 {
		t.Errorf("mode %v", run.Mode())
	}
	if text, err := os.ReadFile(filepath.Join(to, "data/copy/deep/link")); string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(to, "data/copy/deep/empty")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory: %v", err)
	}
}

func TestAFileIsOneToo(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(from, "a.csv"), []byte("1,2"), 0o600))
	must(t, Unpack(to, "in/b.csv", bytes.NewReader(packed(t, from, "a.csv"))))
	if text, err := os.ReadFile(filepath.Join(to, "in/b.csv")); string(text) != "1,2" {
		t.Errorf("%q, %v", text, err)
	}
	if err := Unpack(to, "in/b.csv", bytes.NewReader(packed(t, from, "a.csv"))); err == nil {
		t.Error("what is there was replaced")
	}
	if err := Unpack(to, ".", bytes.NewReader(packed(t, from, "a.csv"))); err == nil {
		t.Error("a file in the place of a directory")
	}
	must(t, Unpack(to, "in", bytes.NewReader(packed(t, from, "."))))
	if _, err := os.Stat(filepath.Join(to, "in/a.csv")); err != nil {
		t.Error("a tree does not go into a directory that is there")
	}
}

func TestNothingOutsideIsPacked(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	for name, make := range map[string]func(string) error{
		"an absolute link":       func(d string) error { return os.Symlink(filepath.Join(outside, "secret"), d+"/x") },
		"a link up":              func(d string) error { return os.Symlink("../../secret", d+"/x") },
		"a pipe":                 func(d string) error { return syscall.Mkfifo(d+"/x", 0o600) },
		"a socket":               func(d string) error { return syscall.Mknod(d+"/x", syscall.S_IFSOCK|0o600, 0) },
		"a name that is no text": func(d string) error { return os.WriteFile(d+"/\xff", nil, 0o600) },
	} {
		from := t.TempDir()
		must(t, make(from))
		if err := Pack(from, ".", &bytes.Buffer{}); err == nil {
			t.Errorf("%s is packed", name)
		}
	}
	from := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(from, "way")))
	for _, below := range []string{"way", "way/secret", "../" + filepath.Base(outside) + "/secret", "none"} {
		if err := Pack(from, below, &bytes.Buffer{}); err == nil {
			t.Errorf("%s is packed", below)
		}
	}
}

func TestATreeHasBounds(t *testing.T) {
	deep, many := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(deep, strings.Repeat("d/", MaxDepth+1)), 0o700))
	for number := range MaxEntries + 1 {
		must(t, os.Mkdir(filepath.Join(many, fmt.Sprint(number)), 0o700))
	}
	large := t.TempDir()
	must(t, os.WriteFile(filepath.Join(large, "x"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(large, "x"), MaxBytes+1))
	for name, from := range map[string]string{"deep": deep, "many": many, "large": large} {
		if err := Pack(from, ".", &bytes.Buffer{}); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoEntryLeadsOutOfItsTarget(t *testing.T) {
	outside := t.TempDir()
	entry := func(kind byte, name, link string) []byte {
		var out bytes.Buffer
		writer := tar.NewWriter(&out)
		for _, head := range []*tar.Header{
			{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
			{Typeflag: kind, Name: name, Linkname: link, Mode: 0o4755},
		} {
			must(t, writer.WriteHeader(head))
		}
		writer.Close()
		return out.Bytes()
	}
	for _, stream := range [][]byte{
		entry(tar.TypeReg, "../x", ""), entry(tar.TypeReg, "/x", ""), entry(tar.TypeReg, "a/../../x", ""),
		entry(tar.TypeReg, "way/x", ""), entry(tar.TypeDir, "way/x", ""),
		entry(tar.TypeSymlink, "l", outside), entry(tar.TypeSymlink, "l", "../x"), entry(tar.TypeSymlink, "l", ""),
		entry(tar.TypeLink, "l", "x"), entry(tar.TypeChar, "c", ""), entry(tar.TypeFifo, "f", ""),
		entry(tar.TypeReg, strings.Repeat("d/", MaxDepth+1)+"x", ""), []byte("no archive at all, by any means"),
	} {
		to := t.TempDir()
		must(t, os.Mkdir(filepath.Join(to, "in"), 0o700))
		must(t, os.Symlink(outside, filepath.Join(to, "in", "way")))
		if err := Unpack(to, "in", bytes.NewReader(stream)); err == nil {
			t.Errorf("%.100q was unpacked", stream)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside: %v", left)
	}
}

func TestSmallFilesAreWrittenOnceAndThroughNoLink(t *testing.T) {
	base, outside := t.TempDir(), t.TempDir()
	must(t, Write(base, "conf/a.yaml", []byte("a: 1")))
	if text, err := os.ReadFile(filepath.Join(base, "conf/a.yaml")); string(text) != "a: 1" {
		t.Errorf("%q, %v", text, err)
	}
	must(t, os.Symlink(outside, filepath.Join(base, "way")))
	for _, below := range []string{"conf/a.yaml", "way/x", ".", "conf"} {
		if Write(base, below, nil) == nil {
			t.Errorf("%s was written", below)
		}
	}
}
