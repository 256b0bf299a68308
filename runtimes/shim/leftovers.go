package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// clean removes what a step can leave outside its processes: files in the writable places, shared memory, message
// queues and semaphores. It assumes that no process is left. What it cannot remove is an error: the sandbox is then
// not given to another step. keep is a directory of ours beside the places.
func clean(p places, keep string, container bool) error {
	errs := []error{p.restore()}
	for _, place := range p.all() {
		errs = append(errs, empty(place))
	}
	if container { // elsewhere these belong to the machine
		for _, path := range []string{"/dev/shm", "/dev/mqueue"} {
			if unix.Access(path, unix.W_OK) == nil { // else nobody of this uid has left anything there
				errs = append(errs, empty(path, append(p.within(path), keep)...))
			}
		}
		errs = append(errs, removeSystemV())
	}
	return errors.Join(errs...)
}

// restore makes the places that the shim made accessible again. A place that user code moved or replaced is an error:
// the harness still stands in the one that was there.
func (p places) restore() error {
	for i, made := range p.own {
		path := p.all()[i]
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !os.SameFile(made, info) {
			return fmt.Errorf("%s is not the directory that it was", path)
		}
		if info.Mode() != made.Mode() {
			if err := os.Chmod(path, made.Mode()); err != nil {
				return err
			}
		}
	}
	return nil
}

// oomKills is how many processes of this container the kernel has killed for want of memory, ever. On cgroup v1 a
// killed child leaves no other trace: Kubernetes does not say OOMKilled then.
func oomKills() int {
	for _, file := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if count, found := counter(string(data), "oom_kill"); found {
			return count
		}
	}
	return 0
}

// counter finds `name value` among lines.
func counter(text, name string) (int, bool) {
	for _, line := range strings.Split(text, "\n") {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			value, err := strconv.Atoi(fields[1])
			return value, err == nil
		}
	}
	return 0, false
}
