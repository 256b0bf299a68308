package trees

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// entry is one of a tar.
type entry struct {
	name, content string
	kind          byte
	mode          int64
}

func packed(t *testing.T, entries ...entry) *bytes.Buffer {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, item := range entries {
		header := tar.Header{Name: item.name, Typeflag: item.kind, Mode: item.mode, Size: int64(len(item.content))}
		if item.kind == tar.TypeSymlink || item.kind == tar.TypeLink {
			header.Linkname, header.Size = item.content, 0
		}
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			writer.Write([]byte(item.content))
		}
	}
	writer.Close()
	return &archive
}

func TestATreeArrivesWithItsFilesAndTheRightToExecute(t *testing.T) {
	root := t.TempDir()
	archive := packed(t,
		entry{"a/b/run", "#!", tar.TypeReg, 0o4777},
		entry{"a/empty/", "", tar.TypeDir, 0o700},
		entry{"data", "x", tar.TypeReg, 0o600},
	)
	if err := Unpack(archive, root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"a/b/run": 0o755, "data": 0o644, "a/empty": os.ModeDir | 0o755} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestNothingLeavesTheDirectoryAndNothingButFilesComesIn(t *testing.T) {
	long := strings.Repeat("d/", MaxDepth) + "file"
	for name, item := range map[string]entry{
		"climbs":         {"../evil", "x", tar.TypeReg, 0o644},
		"climbs inside":  {"a/../../evil", "x", tar.TypeReg, 0o644},
		"is absolute":    {"/evil", "x", tar.TypeReg, 0o644},
		"is a link":      {"evil", "/etc", tar.TypeSymlink, 0o777},
		"is a hard link": {"evil", "/etc/passwd", tar.TypeLink, 0o644},
		"is a device":    {"evil", "", tar.TypeChar, 0o666},
		"is a fifo":      {"evil", "", tar.TypeFifo, 0o666},
		"is too deep":    {long, "x", tar.TypeReg, 0o644},
		"has no name":    {"", "x", tar.TypeReg, 0o644},
	} {
		outer := t.TempDir()
		root := filepath.Join(outer, "root")
		os.Mkdir(root, 0o755)
		if err := Unpack(packed(t, item), root); err == nil {
			t.Errorf("an entry that %s was taken", name)
		}
		if _, err := os.Lstat(filepath.Join(outer, "evil")); err == nil {
			t.Errorf("an entry that %s was written outside", name)
		}
	}
}

func TestALinkThatStandsInTheWayIsNotFollowed(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	os.Mkdir(root, 0o755)
	os.Symlink(outer, filepath.Join(root, "a"))
	if err := Unpack(packed(t, entry{"a/evil", "x", tar.TypeReg, 0o644}), root); err == nil {
		t.Error("taken")
	}
	if _, err := os.Lstat(filepath.Join(outer, "evil")); err == nil {
		t.Error("written outside")
	}
}

func TestAFullPlaceIsSaidToBeFull(t *testing.T) {
	if err := roomless(&os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
}

func TestASealedTreeCannotBeChangedUnseen(t *testing.T) {
	changes := map[string]func(root, file string) error{
		"its mode":          func(_, file string) error { return os.Chmod(file, 0o644) },
		"its bytes":         func(_, file string) error { return rewrite(file) },
		"a link to it":      func(root, file string) error { return os.Link(file, filepath.Join(filepath.Dir(root), "other")) },
		"a file beside it":  func(_, file string) error { return added(filepath.Dir(file)) },
		"its name and back": func(_, file string) error { return renamed(filepath.Dir(file)) },
		"the whole tree":    func(root, _ string) error { return replaced(root) },
	}
	for name, change := range changes {
		root := filepath.Join(t.TempDir(), "tree")
		os.Mkdir(root, 0o755)
		if err := Unpack(packed(t, entry{"a/file", "x", tar.TypeReg, 0o644}), root); err != nil {
			t.Fatal(err)
		}
		sealed, err := Seal(root)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := StampOf(root); err != nil || again != sealed {
			t.Fatalf("untouched, it differs: %v", err)
		}
		file := filepath.Join(root, "a", "file")
		if unix.Getuid() != 0 && os.WriteFile(file, []byte("y"), 0o644) == nil {
			t.Error("a sealed file can be written")
		}
		if err := change(root, file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if after, err := StampOf(root); err == nil && after == sealed {
			t.Errorf("%s changed unseen", name)
		}
		unix.Chmod(filepath.Dir(file), 0o755)
		unix.Chmod(root, 0o755)
	}
}

// rewrite changes a byte and sets everything back that a user can set back.
func rewrite(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	os.Chmod(file, 0o644)
	if err := os.WriteFile(file, []byte("y"), 0o644); err != nil {
		return err
	}
	os.Chmod(file, 0o444)
	return os.Chtimes(file, info.ModTime(), info.ModTime())
}

func added(directory string) error {
	os.Chmod(directory, 0o755)
	defer os.Chmod(directory, 0o555)
	return os.WriteFile(filepath.Join(directory, "new"), nil, 0o644)
}

func renamed(directory string) error {
	os.Chmod(directory, 0o755)
	defer os.Chmod(directory, 0o555)
	if err := os.Rename(filepath.Join(directory, "file"), filepath.Join(directory, "x")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(directory, "x"), filepath.Join(directory, "file"))
}

func replaced(root string) error {
	if err := os.Rename(root, root+"-away"); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(root, "a"), 0o755)
}
