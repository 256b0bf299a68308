package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// clearWithin is how long killed processes may take to be gone.
const clearWithin = 5 * time.Second

// tree is the set of processes that user code can have started: every process of the container but the shim and the
// harness. When the shim is not process 1 of a container, it is the shim's descendants only.
type tree struct {
	self    int
	harness int        // a process that stays, 0 without one
	kept    func() int // one that stays until it runs an attempt, 0 without one; nil: no such language
	reap    func()     // collects the dead, which the next step would see in /proc; nil: nobody looks
}

// signal sends a signal to each process once.
func (t tree) signal(number syscall.Signal) error {
	pids, err := t.pids()
	for _, pid := range pids {
		syscall.Kill(pid, number) // gone already, or it shows again
	}
	return err
}

// clear kills until no process is left. New ones may appear while it runs; it fails when they do not come to an end.
func (t tree) clear() error {
	pause := 100 * time.Microsecond
	for deadline := time.Now().Add(clearWithin); ; pause = min(2*pause, 5*time.Millisecond) {
		pids, err := t.pids()
		if err == nil && len(pids) == 0 && t.reap != nil {
			t.reap()
		}
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes do not end", len(pids))
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pause)
	}
}

// pids lists the processes that are not zombies.
func (t tree) pids() ([]int, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := directory.Readdirnames(-1)
	directory.Close()
	if err != nil {
		return nil, err
	}
	spared := t.harness
	if t.kept != nil {
		spared = t.kept()
	}
	var found []int
	parents := map[int]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == t.self || pid == spared && t.self == 1 {
			continue
		}
		state, parent, ok := stat(name)
		if !ok {
			continue
		}
		parents[pid] = parent
		if state != 'Z' && state != 'X' && pid != spared {
			found = append(found, pid)
		}
	}
	if t.self == 1 {
		return found, nil
	}
	own := found[:0]
	for _, pid := range found {
		ancestor := pid
		for ancestor != t.self && ancestor != 0 {
			ancestor = parents[ancestor]
		}
		if ancestor == t.self {
			own = append(own, pid)
		}
	}
	return own, nil
}

// stat reads a process's state and parent; ok is false when it is gone.
func stat(pid string) (state byte, parent int, ok bool) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0, false
	}
	// The name in parentheses is the process's own choice: what counts stands behind the last one.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent, err == nil
}
