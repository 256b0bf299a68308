package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxNesting bounds the directories that are open at once; who nests deeper loses the sandbox.
const maxNesting = 10_000

// empty removes everything in a directory but what it is to keep, and follows no link. Directories that their owner
// locked are unlocked: the shim has the same uid.
func empty(path string, keep ...string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("emptying %s: %w", path, err)
	}
	if err := emptyDescriptor(fd, 0, keep...); err != nil {
		return fmt.Errorf("emptying %s: %w", path, err)
	}
	return nil
}

// emptyDescriptor removes everything in the directory fd but what it is to keep, and closes it.
func emptyDescriptor(fd, depth int, keep ...string) error {
	directory := os.NewFile(uintptr(fd), "directory")
	defer directory.Close()
	if depth > maxNesting {
		return fmt.Errorf("directories are nested deeper than %d", maxNesting)
	}
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(keep, name) {
			continue
		}
		err := unix.Unlinkat(fd, name, 0)
		if errors.Is(err, unix.EACCES) && unix.Fchmod(fd, 0o700) == nil { // this directory is not writable
			err = unix.Unlinkat(fd, name, 0)
		}
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
			err = removeDirectory(fd, name, depth)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

func removeDirectory(parent int, name string, depth int) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err := unix.Openat(parent, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		// No link: O_NOFOLLOW has looked first, and nobody is left who could exchange it.
		if err := unix.Fchmodat(parent, name, 0o700, 0); err != nil {
			return err
		}
		fd, err = unix.Openat(parent, name, flags, 0)
	}
	if err != nil {
		return err
	}
	if err := emptyDescriptor(fd, depth+1); err != nil {
		return err
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}
