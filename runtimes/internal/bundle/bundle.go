// Package bundle makes one stream of a file or a tree of files, and the tree again of the stream. User code may have
// made the one and the other: no link is followed, none leads out, and nothing but files, directories and links
// passes. The same tree always gives the same bytes.
package bundle

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of a tree.
const (
	MaxEntries = 20_000
	MaxDepth   = 64
	MaxBytes   = 1 << 30
	maxPath    = 1024
)

const (
	directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fileMode       = 0o644
	programMode    = 0o755
	// rootName is the tree itself: a directory or the one file that there is.
	rootName = "."
)

// openBase opens a directory that is trusted to be where it is.
func openBase(base string) (int, error) {
	fd, err := unix.Open(base, directoryFlags, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: base, Err: err}
	}
	return fd, nil
}

// split is the parts of a path below a base; none for the base itself.
func split(below string) ([]string, error) {
	clean := path.Clean("/" + below)
	if clean == "/" {
		return nil, nil
	}
	parts := strings.Split(clean[1:], "/")
	for _, part := range parts {
		if part == ".." || strings.ContainsRune(part, 0) {
			return nil, fmt.Errorf("%q is no path below a directory", below)
		}
	}
	return parts, nil
}

// walk opens the directory that parts lead to, one after the other and through no link; with make those that are not
// there are made. It closes from.
func walk(from int, parts []string, make bool) (int, error) {
	at := from
	for _, part := range parts {
		if make {
			if err := unix.Mkdirat(at, part, programMode); err != nil && !errors.Is(err, unix.EEXIST) {
				unix.Close(at)
				return -1, fmt.Errorf("%q: %w", part, err)
			}
		}
		next, err := unix.Openat(at, part, directoryFlags, 0)
		unix.Close(at)
		if err != nil {
			return -1, fmt.Errorf("%q: %w", part, explained(err))
		}
		at = next
	}
	return at, nil
}

// explained: a link in the place of a directory is told as ENOTDIR or ELOOP, neither of which says so.
func explained(err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return errors.New("is not a directory (links are not followed)")
	}
	return err
}

// Write writes a small file below base, where nothing is yet.
func Write(base, below string, content []byte) error {
	parts, err := split(below)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return errors.New("a directory cannot be written as a file")
	}
	from, err := openBase(base)
	if err != nil {
		return err
	}
	parent, err := walk(from, parts[:len(parts)-1], true)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	file, err := create(parent, parts[len(parts)-1], fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// create makes a new file.
func create(parent int, name string, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// staysInside tells whether a link at the entry name that points to target stays in the tree.
func staysInside(name, target string) bool {
	if target == "" || strings.HasPrefix(target, "/") {
		return false
	}
	to := path.Join(path.Dir(name), target)
	return to != ".." && !strings.HasPrefix(to, "../")
}
