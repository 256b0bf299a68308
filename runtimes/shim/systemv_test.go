package main

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Every kind is made in an IPC namespace of its own, seen by its count alone, and gone after its removal.
func TestSystemVObjectsAreCountedWhereTheyCannotBeListed(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread, and its namespace with it, ends with the test
	if err := unix.Unshare(unix.CLONE_NEWIPC); err != nil {
		t.Skipf("needs an IPC namespace of its own: %v", err)
	}
	made := map[string]func() unix.Errno{
		"shm": func() unix.Errno { return get(unix.SYS_SHMGET, 0, 4096, 0o600|unix.IPC_CREAT) },
		"msg": func() unix.Errno { return get(unix.SYS_MSGGET, 0, 0o600|unix.IPC_CREAT, 0) },
		"sem": func() unix.Errno { return get(unix.SYS_SEMGET, 0, 1, 0o600|unix.IPC_CREAT) },
	}
	for _, kind := range systemVKinds {
		if err := kind.noneInUse(); err != nil {
			t.Fatalf("before anything was made: %v", err)
		}
		if errno := made[kind.name](); errno != 0 {
			t.Fatalf("making %s: %v", kind.name, errno)
		}
		if kind.noneInUse() == nil {
			t.Errorf("one of %s was made, and none is seen", kind.name)
		}
		if err := removeSystemV(); err != nil {
			t.Fatal(err)
		}
		if err := kind.noneInUse(); err != nil {
			t.Errorf("after it was removed: %v", err)
		}
	}
}

func get(number, key, first, second uintptr) unix.Errno {
	_, _, errno := unix.Syscall(number, key, first, second)
	return errno
}
