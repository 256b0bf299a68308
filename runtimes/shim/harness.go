package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// harness is a warm interpreter that forks once for each attempt. It is not dumpable, so user code can end it but
// not change it; with it ends the sandbox.
type harness struct {
	pid    int
	socket *net.UnixConn
	ended  chan exit     // of the forks, in order; closed when its socket closes
	ready  chan struct{} // closed when no attempt need wait for what it loads
}

// startInterpreter starts what the shim's arguments name: a harness that forks, or behind a word and `--` another kind.
func startInterpreter(processes *reaper, known *programs, command []string, directory string) (interpreter, error) {
	if len(command) > 1 && command[1] == "--" {
		switch command[0] {
		case programWord:
			return newCompiled(processes, known, command[2:], directory)
		case keepWord:
			return newKeeping(processes, known, command[2:], directory)
		}
	}
	return startHarness(processes, command, directory)
}

// startHarness starts the command with our socket as its descriptor 3.
func startHarness(processes *reaper, command []string, directory string) (*harness, error) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("the harness cannot start: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs, ours := os.NewFile(uintptr(pair[1]), "harness"), os.NewFile(uintptr(pair[0]), "shim")
	defer theirs.Close()
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pid, _, err := processes.start(path, command, &syscall.ProcAttr{
		Dir: directory, Env: os.Environ(), Files: []uintptr{null.Fd(), 1, 2, theirs.Fd()},
	})
	if err != nil {
		return nil, fmt.Errorf("the harness %s cannot start: %w", path, err)
	}
	h := &harness{pid: pid, socket: conn.(*net.UnixConn), ended: make(chan exit, 1), ready: make(chan struct{})}
	go h.listen()
	return h, nil
}

// listen takes the lines that the harness says: exited <code>, and once ready.
func (h *harness) listen() {
	defer close(h.ended)
	lines := bufio.NewScanner(h.socket)
	loaded := sync.OnceFunc(func() { close(h.ready) })
	for lines.Scan() {
		if lines.Text() == "ready" {
			loaded()
			continue
		}
		word, rest, _ := strings.Cut(lines.Text(), " ")
		code, err := strconv.Atoi(rest)
		if word != "exited" || err != nil {
			return
		}
		h.ended <- exit{code: code}
	}
}

func (h *harness) streams() (*capture, error) { return newCapture() }

// spare is the harness itself.
func (h *harness) spare() int { return h.pid }

// run gives an attempt to the fork that waits for it: a request, and where to write. The files stay the caller's. A
// harness that goes away ends the channel without a value.
func (h *harness) run(_ *wire.Assignment, request []byte, streams *capture) (<-chan exit, error) {
	memory, err := requestFile(request)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	rights := unix.UnixRights(
		int(memory.Fd()), int(streams.stdout.Fd()), int(streams.stderr.Fd()), int(streams.result.Fd()),
	)
	if _, _, err := h.socket.WriteMsgUnix([]byte{'R'}, rights, nil); err != nil {
		return nil, fmt.Errorf("the interpreter has ended: %w", err)
	}
	return h.ended, nil
}

// prepare asks for the next fork. Call it when nothing of the last attempt is left.
func (h *harness) prepare() error {
	_, err := h.socket.Write([]byte{'N'})
	return err
}

// requestFile is a file in memory that holds the request: the harness itself never reads it, only the fork does, so
// nothing of one step's input is left in the memory of the next.
func requestFile(request []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("request", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "request")
	if _, err := file.WriteAt(request, 0); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
