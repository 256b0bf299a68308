package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper collects every child that ends: those started here, and orphans, for which process 1 is the parent.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
}

func newReaper() (*reaper, error) {
	// Outside a container of its own the shim becomes the parent of its descendants' orphans in this way.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	r := &reaper{waiting: map[int]chan syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			r.collect()
		}
	}()
	return r, nil
}

func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			return
		}
		if ended, found := r.waiting[pid]; found {
			delete(r.waiting, pid)
			ended <- status
		}
	}
}

// start runs a program in a session of its own and returns its pid and the channel of its end.
func (r *reaper) start(path string, argv []string, attributes *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	attributes.Sys = &syscall.SysProcAttr{Setsid: true}
	ended := make(chan syscall.WaitStatus, 1)
	r.mu.Lock() // nobody reaps the child before it is known
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attributes)
	if err != nil {
		return 0, nil, err
	}
	r.waiting[pid] = ended
	return pid, ended, nil
}
