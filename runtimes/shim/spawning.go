package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"citadel.dev/runtimes/internal/wire"
)

// spawning is for interpreters that cannot fork: each attempt has a process of its own, which is started ahead, when
// nothing of the attempt before is left, and waits for its request. So none of them ever lives beside user code that
// is not its own.
type spawning struct {
	processes *reaper
	path      string
	command   []string
	directory string
	next      *spawned
}

// spawned is a process that waits. Its descriptors: 1 stdout, 2 stderr, 3 request, 4 result.
type spawned struct {
	streams *capture
	request *os.File // ours
	ended   <-chan syscall.WaitStatus
}

// startSpawning starts the first process.
func startSpawning(processes *reaper, command []string, directory string) (*spawning, error) {
	if len(command) == 0 {
		return nil, fmt.Errorf("the harness cannot start: no command behind %s --", spawnWord)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("the harness cannot start: %w", err)
	}
	s := &spawning{processes: processes, path: path, command: command, directory: directory}
	return s, s.prepare()
}

// spare: none of its processes outlives an attempt.
func (s *spawning) spare() int { return 0 }

// prepare starts the next process. Call it when nothing of the last attempt is left.
func (s *spawning) prepare() error {
	streams, err := newCapture()
	if err != nil {
		return err
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		streams.close()
		return err
	}
	defer theirs.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		streams.close()
		ours.Close()
		return err
	}
	defer null.Close()
	_, ended, err := s.processes.start(s.path, s.command, &syscall.ProcAttr{
		Dir: s.directory, Env: os.Environ(),
		Files: []uintptr{null.Fd(), streams.stdout.Fd(), streams.stderr.Fd(), theirs.Fd(), streams.result.Fd()},
	})
	streams.started()
	if err != nil {
		streams.close()
		ours.Close()
		return fmt.Errorf("the harness %s cannot start: %w", s.path, err)
	}
	s.next = &spawned{streams: streams, request: ours, ended: ended}
	return nil
}

// streams are those of the process that waits. One that has ended while it waited, and so before it knew anything of
// an attempt, is replaced.
func (s *spawning) streams() (*capture, error) {
	select {
	case <-s.next.ended:
		s.next.request.Close()
		s.next.streams.close()
		if err := s.prepare(); err != nil {
			return nil, err
		}
	default:
	}
	return s.next.streams, nil
}

// run gives an attempt to the process that waits.
func (s *spawning) run(_ *wire.Assignment, request []byte, _ *capture) (<-chan exit, error) {
	waiting := s.next
	go func() { // a process that ends without reading closes the pipe
		waiting.request.Write(request)
		waiting.request.Close()
	}()
	ended := make(chan exit, 1)
	go func() { ended <- exitOf(<-waiting.ended) }()
	return ended, nil
}
