package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// keepWord and -- before a command say that one process may take several attempts, if it can prove that none leaves
// anything in it.
const keepWord = "keep"

// outOfMemoryCode is how a JVM ends without a word when its heap is full.
const outOfMemoryCode = 3

// keeping is for interpreters that start slowly. A process waits, and says of each attempt whether it will be clean
// after it; only code that the harness knows to be harmless ever runs in a process that serves again. None waits
// while other code runs.
type keeping struct {
	processes *reaper
	programs  *programs
	path      string
	command   []string
	directory string

	mu   sync.Mutex
	next *kept
	idle bool // next has taken attempts, and is clean
}

func newKeeping(processes *reaper, known *programs, command []string, directory string) (*keeping, error) {
	if len(command) == 0 {
		return nil, fmt.Errorf("the harness cannot start: no command behind %s --", keepWord)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("the harness cannot start: %w", err)
	}
	k := &keeping{processes: processes, programs: known, path: path, command: command, directory: directory}
	return k, k.start()
}

func (k *keeping) streams() (*capture, error) { return newCapture() }
func (k *keeping) made() *os.File             { return k.next.program }

// spare is the process that waits, if attempts have left it clean. While one runs there is none.
func (k *keeping) spare() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.idle {
		return k.next.pid
	}
	return 0
}

// prepare starts a process, unless the one that is there serves on.
func (k *keeping) prepare() error {
	if k.spare() != 0 && len(k.next.ended) == 0 {
		return nil
	}
	return k.start()
}

// start starts the process that waits.
func (k *keeping) start() error {
	var opened []*os.File
	failed := func(err error) error {
		for _, file := range opened {
			file.Close()
		}
		return fmt.Errorf("the harness %s cannot start: %w", k.path, err)
	}
	var theirs [6]*os.File
	ours := [6]*os.File{}
	for number := range theirs {
		var reading, writing *os.File
		var err error
		switch number {
		case 0:
			theirs[0], err = os.Open(os.DevNull)
		case 3:
			theirs[3], ours[3], err = os.Pipe()
		case 5:
			theirs[5], err = programFile()
		default:
			reading, writing, err = os.Pipe()
			ours[number], theirs[number] = reading, writing
		}
		if err != nil {
			return failed(err)
		}
		opened = append(opened, theirs[number])
		if ours[number] != nil {
			opened = append(opened, ours[number])
		}
	}
	var files []uintptr
	for _, file := range theirs {
		files = append(files, file.Fd())
	}
	pid, ended, err := k.processes.start(k.path, k.command, &syscall.ProcAttr{Dir: k.directory, Env: os.Environ(), Files: files})
	if err != nil {
		return failed(err)
	}
	for _, file := range theirs[:5] {
		file.Close()
	}
	if before := k.next; before != nil { // it has ended
		for _, file := range []*os.File{before.requests, before.answers, before.program} {
			file.Close()
		}
	}
	next := &kept{
		pid: pid, ended: ended, requests: ours[3], answers: ours[4], program: theirs[5], printed: [2]*os.File{ours[1], ours[2]},
	}
	for i := range next.printed {
		go next.forward(i)
	}
	k.mu.Lock()
	k.next, k.idle = next, false
	k.mu.Unlock()
	return nil
}

// run gives an attempt to the process that waits.
func (k *keeping) run(a *wire.Assignment, request []byte, streams *capture) (<-chan exit, error) {
	var program []byte
	if a.Action != wire.ActionBuild {
		file, failure := k.programs.find(a.Program)
		if failure != nil {
			return nil, errors.New(failure.Message)
		}
		program = make([]byte, a.Program.Size)
		if _, err := file.ReadAt(program, 0); err != nil {
			return nil, fmt.Errorf("the program of the step: %w", err)
		}
	}
	if len(k.next.ended) > 0 { // it ended while it waited
		if err := k.start(); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	k.idle = false
	k.mu.Unlock()
	var theirs [3]*os.File // ends of the attempt's pipes that stay when the caller closes its own
	for i, file := range []*os.File{streams.stdout, streams.stderr, streams.result} {
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		theirs[i] = os.NewFile(uintptr(fd), "attempt")
	}
	ended := make(chan exit, 1)
	go k.converse(request, program, theirs, ended)
	return ended, nil
}

// converse has one attempt run, and says its end.
func (k *keeping) converse(request, program []byte, theirs [3]*os.File, ended chan<- exit) {
	defer theirs[2].Close()
	for tries := 0; ; tries++ {
		process := k.next
		process.print([2]*os.File{theirs[0], theirs[1]})
		go process.ask(request, program)
		answers := bufio.NewReaderSize(process.answers, 64<<10)
		word, err := answers.ReadByte()
		if err == nil && word == refuses && tries == 0 {
			process.print([2]*os.File{})
			syscall.Kill(process.pid, syscall.SIGKILL)
			<-process.ended
			if k.start() != nil {
				theirs[0].Close()
				theirs[1].Close()
				ended <- exit{lost: true}
				return
			}
			continue
		}
		if err == nil && word == serves && process.frames(answers, theirs) {
			for _, sink := range process.print([2]*os.File{}) {
				sink.Close()
			}
			k.mu.Lock()
			k.idle = true
			k.mu.Unlock()
			ended <- exit{}
			return
		}
		if err == nil && word != isLast && word != serves {
			syscall.Kill(process.pid, syscall.SIGKILL) // it does not speak as a harness
		}
		said := make(chan struct{})
		go func() { // beside its end, because children may hold this open
			io.Copy(theirs[2], answers)
			close(said)
		}()
		ended <- exitOf(<-process.ended)
		<-said
		return
	}
}
