package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"citadel.dev/runtimes/internal/wire"
)

// programWord and -- before a command say that attempts are programs, which the command compiles.
const programWord = "program"

// compiled is for languages whose programs are executables: the process of an attempt is its program, and nothing
// waits for it. Descriptors of both: 1 stdout, 2 stderr, 3 request, 4 result; of a build also 5, for its program.
type compiled struct {
	processes *reaper
	programs  *programs
	path      string
	command   []string
	directory string
	built     *os.File
}

func newCompiled(processes *reaper, known *programs, command []string, directory string) (*compiled, error) {
	if len(command) == 0 {
		return nil, fmt.Errorf("the harness cannot start: no command behind %s --", programWord)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("the harness cannot start: %w", err)
	}
	return &compiled{processes: processes, programs: known, path: path, command: command, directory: directory}, nil
}

func (c *compiled) streams() (*capture, error) { return newCapture() }
func (c *compiled) prepare() error             { return nil }
func (c *compiled) spare() int                 { return 0 }
func (c *compiled) made() *os.File             { return c.built }

// run starts the program of an attempt, or the build of one.
func (c *compiled) run(a *wire.Assignment, request []byte, streams *capture) (<-chan exit, error) {
	memory, err := requestFile(request)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	path, command := c.path, c.command
	files := []uintptr{null.Fd(), streams.stdout.Fd(), streams.stderr.Fd(), memory.Fd(), streams.result.Fd()}
	if a.Action == wire.ActionBuild {
		if c.built, err = programFile(); err != nil {
			return nil, err
		}
		files = append(files, c.built.Fd())
	} else {
		program, failure := c.programs.find(a.Program)
		if failure != nil {
			return nil, fmt.Errorf("%s", failure.Message)
		}
		// Not a path in the working directory: nothing can be executed from there, nor exchanged.
		path, command = fmt.Sprintf("/proc/self/fd/%d", program.Fd()), []string{a.Step}
	}
	_, waited, err := c.processes.start(path, command, &syscall.ProcAttr{Dir: c.directory, Env: os.Environ(), Files: files})
	if err != nil {
		return nil, fmt.Errorf("the program of the step cannot be started: %w", err)
	}
	ended := make(chan exit, 1)
	go func() { ended <- exitOf(<-waited) }()
	return ended, nil
}

// crashed is the failure of a program that the runtime of Go has ended, from its report of the crash: after a panic
// that begins with `panic: ` and the value; after a fatal error what is fatal stands in the log alone. Then come
// stacks, of which that of the goroutine that crashed is the first.
func crashed(report, step string) *wire.Failure {
	message, _, _ := strings.Cut(report, "\n")
	if message == "" {
		message = "fatal error of the runtime of Go, which the log names"
		if strings.Contains(report, "\nruntime.newstack()\n") {
			message = "fatal error: stack overflow"
		}
	}
	failure := wire.Failf(wire.ReasonError, "%s", message)
	_, stacks, _ := strings.Cut(report, "\ngoroutine ")
	stack, _, _ := strings.Cut(stacks, "\n\n")
	for _, frame := range frames.FindAllStringSubmatch(stack, mostFrames) {
		failure.Traceback = append(failure.Traceback, fmt.Sprintf("    at %s (%s.go:%s)", frame[1], step, frame[2]))
	}
	return failure
}

// mostFrames is how many of a stack are shown: those that crashed.
const mostFrames = 50

// isCrash tells a report of the runtime of Go from a result, which begins with S or F.
func isCrash(said []byte) bool {
	for _, beginning := range []string{"panic: ", "\nruntime stack:\n", "\ngoroutine "} {
		if bytes.HasPrefix(said, []byte(beginning)) {
			return true
		}
	}
	return false
}

// frames are those of a step's own code: a line with the function and its arguments, and one with the place.
var frames = regexp.MustCompile(`(?m)^(?:created by )?(main\.[^\n]+?)(?:\([^()\n]*\)| in goroutine \d+)?\n\t(?:\S*/)?step\.go:(\d+)`)
