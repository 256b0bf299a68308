package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemV is one kind of System V object.
type systemV struct {
	name   string
	number uintptr
	// remove and count are the arguments of its control call: for an id, and for what says how many are in use.
	remove func(id uintptr) [4]uintptr
	count  func(to uintptr) [4]uintptr
	// inUse reads the answer to count.
	inUse func(answer *[16]uint32) uint64
}

// SHM_INFO, MSG_INFO and SEM_INFO of <linux/shm.h>, <linux/msg.h> and <linux/sem.h>.
const (
	shmInfo = 14
	msgInfo = 12
	semInfo = 19
)

var systemVKinds = []systemV{
	{
		"shm", unix.SYS_SHMCTL,
		func(id uintptr) [4]uintptr { return [4]uintptr{id, unix.IPC_RMID} },
		func(to uintptr) [4]uintptr { return [4]uintptr{0, shmInfo, to} },
		// shm_tot, pages of all segments: what is counted as used ids is not the same for every kernel.
		func(answer *[16]uint32) uint64 { return uint64(answer[2]) | uint64(answer[3])<<32 },
	},
	{
		"msg", unix.SYS_MSGCTL,
		func(id uintptr) [4]uintptr { return [4]uintptr{id, unix.IPC_RMID} },
		func(to uintptr) [4]uintptr { return [4]uintptr{0, msgInfo, to} },
		func(answer *[16]uint32) uint64 { return uint64(answer[0]) }, // msgpool
	},
	{
		"sem", unix.SYS_SEMCTL,
		func(id uintptr) [4]uintptr { return [4]uintptr{id, 0, unix.IPC_RMID} },
		func(to uintptr) [4]uintptr { return [4]uintptr{0, 0, semInfo, to} },
		func(answer *[16]uint32) uint64 { return uint64(answer[7]) }, // semusz
	},
}

// answer is where the kernel writes counts: in no stack, which might move before it does.
var answer [16]uint32

// removeSystemV removes System V shared memory, message queues and semaphores. A kernel that does not list them, as
// gVisor's, still tells whether there are any: then this fails, and the sandbox takes no further step.
func removeSystemV() error {
	var errs []error
	for _, kind := range systemVKinds {
		data, err := os.ReadFile("/proc/sysvipc/" + kind.name)
		if err != nil {
			errs = append(errs, kind.noneInUse())
			continue
		}
		for _, line := range strings.Split(string(data), "\n")[1:] {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			id, err := strconv.Atoi(fields[1])
			if err != nil {
				continue
			}
			if errno := kind.control(kind.remove(uintptr(id))); errno != 0 && errno != unix.EINVAL && errno != unix.EIDRM {
				errs = append(errs, fmt.Errorf("System V %s %d: %w", kind.name, id, errno))
			}
		}
	}
	return errors.Join(errs...)
}

// noneInUse fails where objects of this kind are left.
func (k systemV) noneInUse() error {
	answer = [16]uint32{}
	switch errno := k.control(k.count(uintptr(unsafe.Pointer(&answer)))); {
	case errno == unix.ENOSYS: // a kernel without them
		return nil
	case errno != 0:
		return fmt.Errorf("counting System V %s: %w", k.name, errno)
	case k.inUse(&answer) != 0:
		return fmt.Errorf("System V %s is left, and this kernel does not list it", k.name)
	}
	return nil
}

func (k systemV) control(arguments [4]uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(k.number, arguments[0], arguments[1], arguments[2], arguments[3], 0, 0)
	return errno
}
