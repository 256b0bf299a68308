// Package trees is how files travel between sandboxes: a tar of directories and plain files, and nothing else. It never
// follows a link, and writes nowhere but below the directory that it is given.
package trees

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of a tree: what is larger is refused, whoever packed it.
const (
	MaxEntries = 100_000
	MaxDepth   = 64
	MaxName    = 1024 // bytes of a whole path
)

// ErrNoRoom: the memory in which files lie is full.
var ErrNoRoom = errors.New("no room is left")

// Unpack writes the files of a tree below a directory that exists. Of their modes only the owner's right to execute is
// kept; owners and times are not.
func Unpack(source io.Reader, directory string) error {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer root.Close()
	made := map[string]bool{".": true}
	files := tar.NewReader(source)
	for count := 0; ; count++ {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the tree is no tar: %w", err)
		}
		if count == MaxEntries {
			return fmt.Errorf("the tree has more than %d entries", MaxEntries)
		}
		if err := place(root, made, header, files); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
}

func place(root *os.Root, made map[string]bool, header *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(header.Name, "/")
	if name == "." && header.Typeflag == tar.TypeDir {
		return nil
	}
	if !fs.ValidPath(name) || len(name) > MaxName || strings.Count(name, "/") >= MaxDepth || strings.ContainsRune(name, 0) {
		return fmt.Errorf("expected a path of at most %d bytes and %d levels inside the tree", MaxName, MaxDepth)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return makeAll(root, made, name)
	case tar.TypeReg:
		if err := makeAll(root, made, path.Dir(name)); err != nil {
			return err
		}
		return write(root, name, header.FileInfo().Mode()&0o100 != 0, content)
	default:
		return errors.New("neither a directory nor a plain file")
	}
}

func makeAll(root *os.Root, made map[string]bool, name string) error {
	if made[name] {
		return nil
	}
	if err := makeAll(root, made, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return roomless(err)
	}
	made[name] = true
	return nil
}

func write(root *os.Root, name string, executable bool, content io.Reader) error {
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return roomless(err)
	}
	_, err = io.Copy(file, content)
	return roomless(errors.Join(err, file.Close()))
}

func roomless(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return ErrNoRoom
	}
	return err
}
