package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Pack writes the file or tree below base to sink.
func Pack(base, below string, sink io.Writer) error {
	parts, err := split(below)
	if err != nil {
		return err
	}
	p := &packer{out: tar.NewWriter(sink)}
	if err := p.root(base, parts); err != nil {
		return err
	}
	return p.out.Close()
}

type packer struct {
	out     *tar.Writer
	entries int
	bytes   int64
}

func (p *packer) root(base string, parts []string) error {
	from, err := openBase(base)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return p.directory(from, rootName, 0)
	}
	parent, err := walk(from, parts[:len(parts)-1], false)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return p.entry(parent, parts[len(parts)-1], rootName, 0)
}

// entry packs what a directory has under a name; as is its name in the tree.
func (p *packer) entry(parent int, name, as string, depth int) error {
	if p.entries++; p.entries > MaxEntries {
		return fmt.Errorf("more than %d files and directories", MaxEntries)
	}
	if depth > MaxDepth {
		return fmt.Errorf("%q: directories are nested deeper than %d", as, MaxDepth)
	}
	if len(as) > maxPath || !utf8.ValidString(as) {
		return fmt.Errorf("%.80q: a name is UTF-8, and a path at most %d bytes", as, maxPath)
	}
	var info unix.Stat_t
	if err := unix.Fstatat(parent, name, &info, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if as == rootName {
			return err
		}
		return fmt.Errorf("%q: %w", as, err)
	}
	switch info.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		fd, err := unix.Openat(parent, name, directoryFlags, 0)
		if err != nil {
			return fmt.Errorf("%q: %w", as, err)
		}
		return p.directory(fd, as, depth)
	case unix.S_IFREG:
		return p.file(parent, name, as, &info)
	case unix.S_IFLNK:
		return p.link(parent, name, as)
	default:
		return fmt.Errorf("%q is neither a file nor a directory nor a link", as)
	}
}

func header(kind byte, name string) *tar.Header {
	// Without times and owners: the same files are the same bytes.
	return &tar.Header{Typeflag: kind, Name: name, Mode: fileMode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

// directory packs an open directory, and closes it.
func (p *packer) directory(fd int, as string, depth int) error {
	directory := os.NewFile(uintptr(fd), as)
	defer directory.Close()
	head := header(tar.TypeDir, as+"/")
	head.Mode = programMode
	if err := p.out.WriteHeader(head); err != nil {
		return err
	}
	names, err := directory.Readdirnames(MaxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%q: %w", as, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.entry(fd, name, path.Join(as, name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) file(parent int, name, as string, seen *unix.Stat_t) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%q: %w", as, err)
	}
	file := os.NewFile(uintptr(fd), as)
	defer file.Close()
	if p.bytes += seen.Size; p.bytes > MaxBytes {
		return fmt.Errorf("more than %d bytes of files", MaxBytes)
	}
	head := header(tar.TypeReg, as)
	head.Size = seen.Size
	if seen.Mode&0o100 != 0 {
		head.Mode = programMode
	}
	if err := p.out.WriteHeader(head); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{p.out}, io.LimitReader(file, seen.Size), make([]byte, 64<<10)); err != nil {
		return fmt.Errorf("%q: %w", as, err)
	}
	return nil
}

func (p *packer) link(parent int, name, as string) error {
	buffer := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(parent, name, buffer)
	if err != nil {
		return fmt.Errorf("%q: %w", as, err)
	}
	target := string(buffer[:n])
	if as == rootName {
		return errors.New("is a link, expected a file or a directory")
	}
	if n > maxPath || !staysInside(as, target) || strings.ContainsRune(target, 0) {
		return fmt.Errorf("%q is a link that leads out of the tree, to %.80q", as, target)
	}
	head := header(tar.TypeSymlink, as)
	head.Linkname = target
	return p.out.WriteHeader(head)
}
