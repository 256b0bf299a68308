package bundle

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

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
		must(t, os.MkdirAll(filepath.Join(root, "a"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "a", "file"), []byte("x"), 0o644))
		must(t, os.Symlink("file", filepath.Join(root, "a", "link")))
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
