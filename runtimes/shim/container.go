package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// The files of a container step lie in tmp: the working directory stays empty for the command.
const (
	inputName  = "citadel-input.json"
	outputName = "citadel-output.json"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the image's, the step's, and what the protocol promises; later ones win.
type environment struct {
	values map[string]string
	names  []string
}

func containerEnvironment(base []string, a *wire.Assignment, p places) *environment {
	e := &environment{values: map[string]string{}}
	for _, pair := range base {
		if name, value, found := strings.Cut(pair, "="); found {
			e.set(name, value)
		}
	}
	if e.values["PATH"] == "" {
		e.set("PATH", defaultPath)
	}
	for _, variable := range a.Env {
		e.set(variable.Name, variable.Value)
	}
	e.set("CITADEL_STEP", a.Step)
	e.set("CITADEL_ATTEMPT", strconv.Itoa(a.Attempt))
	e.set("CITADEL_INPUT", filepath.Join(p.tmp, inputName))
	e.set("CITADEL_OUTPUT", filepath.Join(p.tmp, outputName))
	return e
}

func (e *environment) set(name, value string) {
	if _, known := e.values[name]; !known {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) list() []string {
	pairs := make([]string, 0, len(e.names))
	for _, name := range e.names {
		pairs = append(pairs, name+"="+e.values[name])
	}
	return pairs
}

// expand replaces $(NAME) as Kubernetes does in a Pod: `$$` is a literal `$`, an unknown name stays as it is.
func (e *environment) expand(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch next := text[i+1]; next {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			name, _, closed := strings.Cut(text[i+2:], ")")
			value, known := e.values[name]
			switch {
			case !closed:
				out.WriteString("$(")
				i++
			case known:
				out.WriteString(value)
				i += len(name) + 2
			default:
				out.WriteString("$(" + name + ")")
				i += len(name) + 2
			}
		default:
			out.WriteByte('$')
		}
	}
	return out.String()
}

// find is the file that a command names, looked up in PATH as execvp does.
func (e *environment) find(command, directory string) (string, error) {
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			command = filepath.Join(directory, command)
		}
		return command, executable(command)
	}
	var denied *deniedError
	for _, place := range filepath.SplitList(e.values["PATH"]) {
		path := filepath.Join(directory, place, command)
		if filepath.IsAbs(place) {
			path = filepath.Join(place, command)
		}
		err := executable(path)
		if err == nil {
			return path, nil
		}
		errors.As(err, &denied) // a directory that cannot be searched is no match, as for a shell
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("not found in PATH=%s", e.values["PATH"])
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("no such file in the image")
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a directory")
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return &deniedError{path, err}
	}
	return nil
}

// deniedError: the file is there, but may not be executed.
type deniedError struct {
	path string
	err  error
}

func (d *deniedError) Error() string { return "execute " + d.path + ": " + d.err.Error() }

// startContainer runs the step's command. The failure is the user's to mend, the error is not.
func (s *shim) startContainer(a *wire.Assignment, stdout, stderr *os.File) (<-chan exit, *wire.Failure, error) {
	e := containerEnvironment(os.Environ(), a, s.places)
	var argv []string
	for _, word := range append(append([]string{}, a.Command...), a.Args...) {
		argv = append(argv, e.expand(word))
	}
	path, err := e.find(argv[0], s.places.work)
	if err != nil {
		return nil, wire.Failf(wire.ReasonError, "command %q cannot be run: %v", argv[0], err), nil
	}
	if err := os.WriteFile(e.values["CITADEL_INPUT"], a.Input, 0o600); err != nil {
		return nil, nil, fmt.Errorf("writing the input: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	_, waited, err := s.processes.start(path, argv, &syscall.ProcAttr{
		Dir: s.places.work, Env: e.list(), Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
	})
	if err != nil {
		return nil, wire.Failf(wire.ReasonError, "command %q cannot be run: %v", argv[0], err), nil
	}
	ended := make(chan exit, 1)
	go func() { ended <- exitOf(<-waited) }()
	return ended, nil, nil
}

// readOutput reads what the command wrote to CITADEL_OUTPUT; a missing file is null. User code may have put anything
// there: only a regular file of at most limit bytes is read, and no link is followed.
func readOutput(path string, limit int) ([]byte, *wire.Failure) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return []byte("null"), nil
	case errors.Is(err, unix.ELOOP):
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT is a symbolic link, expected a regular file")
	case err != nil:
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT cannot be read: %v", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT cannot be read: %v", err)
	case !info.Mode().IsRegular():
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT is not a regular file but %s", info.Mode().Type())
	case info.Size() > int64(limit):
		return nil, tooLarge(int(info.Size()), limit)
	case info.Size() == 0:
		return []byte("null"), nil // touched, nothing said
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(limit)))
	if err != nil {
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT cannot be read: %v", err)
	}
	return data, nil
}
