package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Seal takes the right to write from everything in a directory, and returns its stamp. Who has the same uid can give
// that right back, but not unseen.
func Seal(directory string) (Stamp, error) {
	err := visitAll(directory, func(parent int, name string, found *unix.Stat_t) error {
		if found.Mode&unix.S_IFMT == unix.S_IFLNK {
			return nil
		}
		return unix.Fchmodat(parent, name, found.Mode&0o555, 0)
	})
	if err != nil {
		return Stamp{}, err
	}
	settle()
	return StampOf(directory)
}

// settle waits until the clock that files' times are taken from has moved on: a change right after is seen too.
func settle() {
	var before, now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &before) != nil {
		return
	}
	for now = before; now == before; time.Sleep(time.Millisecond) {
		if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
			return
		}
	}
}

// Stamp tells a tree from one that was touched since: any change of a file's bytes, name or mode sets its time of
// change, which no user can set back.
type Stamp [sha256.Size]byte

// StampOf is the stamp of a directory as it is.
func StampOf(directory string) (Stamp, error) {
	sum, buffer := sha256.New(), make([]byte, 0, 64)
	err := visitAll(directory, func(_ int, name string, found *unix.Stat_t) error {
		buffer = buffer[:0]
		for _, part := range []uint64{
			found.Dev, found.Ino, uint64(found.Mode), uint64(found.Size), uint64(found.Nlink),
			uint64(found.Ctim.Sec), uint64(found.Ctim.Nsec),
		} {
			buffer = binary.LittleEndian.AppendUint64(buffer, part)
		}
		sum.Write(buffer)
		sum.Write(append([]byte(name), 0))
		return nil
	})
	return Stamp(sum.Sum(nil)), err
}

// visitAll visits a directory and everything in it, the same way each time, and follows no link.
func visitAll(directory string, visit func(parent int, name string, found *unix.Stat_t) error) error {
	if err := visitEntry(unix.AT_FDCWD, directory, 0, visit); err != nil {
		return fmt.Errorf("%s: %w", directory, err)
	}
	return nil
}

func visitEntry(parent int, name string, depth int, visit func(int, string, *unix.Stat_t) error) error {
	var found unix.Stat_t
	if err := unix.Fstatat(parent, name, &found, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if depth > MaxDepth+1 {
		return fmt.Errorf("directories are nested deeper than %d", MaxDepth)
	}
	if found.Mode&unix.S_IFMT == unix.S_IFDIR {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		opened := os.NewFile(uintptr(fd), name)
		defer opened.Close()
		names, err := opened.Readdirnames(-1)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, inner := range names {
			if err := visitEntry(fd, inner, depth+1, visit); err != nil {
				return err
			}
		}
	}
	return visit(parent, name, &found)
}
