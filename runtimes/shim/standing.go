package main

import "golang.org/x/sys/unix"

// resources is how many limits a process of Linux has.
const resources = 16

// standing is what a process hands on to those it starts, and what any other process of the same uid may change: its
// resource limits, the cores it may use, its priority.
type standing struct {
	limits   [resources]unix.Rlimit
	cores    unix.CPUSet
	priority int
	policy   uintptr
	io       uintptr
}

// standingOf reads a process's. What a kernel does not tell stays zero, before and after alike.
func standingOf(pid int) standing {
	var s standing
	for resource := range s.limits {
		unix.Prlimit(pid, resource, nil, &s.limits[resource])
	}
	unix.SchedGetaffinity(pid, &s.cores)
	s.priority, _ = unix.Getpriority(unix.PRIO_PROCESS, pid)
	s.policy, _, _ = unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(pid), 0, 0)
	const process = 1 // IOPRIO_WHO_PROCESS
	s.io, _, _ = unix.Syscall(unix.SYS_IOPRIO_GET, process, uintptr(pid), 0)
	return s
}

// standings are those of the processes that the next step descends from: the shim, and the harness if it stays.
func (t tree) standings() [2]standing {
	found := [2]standing{standingOf(t.self)}
	if t.harness != 0 {
		found[1] = standingOf(t.harness)
	}
	return found
}
