package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack makes the file or tree that source holds, below base. It replaces nothing that is there; a directory may be.
func Unpack(base, below string, source io.Reader) error {
	parts, err := split(below)
	if err != nil {
		return err
	}
	u := &unpacker{base: base, parts: parts, in: tar.NewReader(source)}
	for {
		head, err := u.in.Next()
		if errors.Is(err, io.EOF) {
			// What follows the end of the archive belongs to the stream.
			_, err = io.Copy(io.Discard, source)
			return err
		}
		if err != nil {
			return fmt.Errorf("not a tree: %w", err)
		}
		if err := u.entry(head); err != nil {
			return fmt.Errorf("%q: %w", head.Name, err)
		}
	}
}

type unpacker struct {
	base    string
	parts   []string
	in      *tar.Reader
	entries int
	bytes   int64
}

func (u *unpacker) entry(head *tar.Header) error {
	name := strings.TrimSuffix(head.Name, "/")
	if name == "" || strings.HasPrefix(name, "/") || path.Clean(name) != name || name == ".." ||
		strings.HasPrefix(name, "../") || strings.ContainsRune(name, 0) || len(name) > maxPath {
		return errors.New("is no path inside a tree")
	}
	if u.entries++; u.entries > MaxEntries {
		return fmt.Errorf("more than %d files and directories", MaxEntries)
	}
	if u.bytes += head.Size; head.Size < 0 || u.bytes > MaxBytes {
		return fmt.Errorf("more than %d bytes of files", MaxBytes)
	}
	parts := u.parts
	if name != rootName {
		parts = append(parts[:len(parts):len(parts)], strings.Split(name, "/")...)
	}
	if len(parts) > len(u.parts)+MaxDepth {
		return fmt.Errorf("directories are nested deeper than %d", MaxDepth)
	}
	from, err := openBase(u.base)
	if err != nil {
		return err
	}
	if head.Typeflag == tar.TypeDir {
		fd, err := walk(from, parts, true)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	if len(parts) == 0 {
		unix.Close(from)
		return errors.New("a file cannot replace a directory")
	}
	parent, err := walk(from, parts[:len(parts)-1], true)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	last := parts[len(parts)-1]
	switch head.Typeflag {
	case tar.TypeReg:
		return u.file(parent, last, head)
	case tar.TypeSymlink:
		if name == rootName || !staysInside(name, head.Linkname) {
			return fmt.Errorf("is a link that leads out of the tree, to %.80q", head.Linkname)
		}
		return unix.Symlinkat(head.Linkname, parent, last)
	default:
		return fmt.Errorf("has the type %q, expected a file, a directory or a link", head.Typeflag)
	}
}

func (u *unpacker) file(parent int, name string, head *tar.Header) error {
	mode := uint32(fileMode)
	if head.Mode&0o100 != 0 {
		mode = programMode
	}
	file, err := create(parent, name, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, u.in, make([]byte, 64<<10))
	return errors.Join(err, file.Close())
}
