// The shim is process 1 of the container main: it starts the language harness or the step's command, forwards what
// they print, and leaves nothing of one step to the next. It alone opens files that user code can write. It holds no
// token and no secret of its own, and never speaks with anything but the runner of its pod.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/wire"
)

// version is set at build time (-ldflags "-X main.version=…").
var version = "dev"

// connectWithin is how long the runner, whose container starts first, may take to listen.
const connectWithin = 30 * time.Second

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC | log.Lmsgprefix)
	log.SetPrefix("shim: ")
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(version)
		return
	}
	// Before anything else: no process of the same uid may look into this one.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Fatalf("PR_SET_DUMPABLE: %v", err)
	}
	places, err := placesFromEnvironment()
	if err == nil {
		err = serve(places, os.Args[1:])
	}
	if err != nil {
		log.Printf("ends: %v", err)
		os.Exit(1)
	}
}

// places are where things are. The defaults are a sandbox's; all of them can be moved, for tests, by environment.
type places struct {
	runner   string // address
	work     string
	tmp      string
	data     string        // "" in a container that has none
	packages string        // where those of the Runtime come to; "" where they cannot
	own      []os.FileInfo // work, tmp and data, where the shim made them: user code has the same uid
}

// all are the places that there are.
func (p places) all() []string {
	if p.data == "" {
		return []string{p.work, p.tmp}
	}
	return []string{p.work, p.tmp, p.data}
}

// find is the directory of these places in which an absolute path lies, and the way from there.
func (p places) find(path string) (base, below string, err error) {
	for _, place := range []struct{ name, base string }{{"/work", p.work}, {"/tmp", p.tmp}, {"/data", p.data}} {
		if path != place.name && !strings.HasPrefix(path, place.name+"/") {
			continue
		}
		if place.base == "" {
			return "", "", fmt.Errorf("%s: this sandbox has no %s", path, place.name)
		}
		return place.base, strings.TrimPrefix(path, place.name), nil
	}
	return "", "", fmt.Errorf("%s: expected a path in /work or /data", path)
}

// within names the places that are directories of this one.
func (p places) within(directory string) []string {
	var names []string
	for _, place := range p.all() {
		if filepath.Dir(place) == directory {
			names = append(names, filepath.Base(place))
		}
	}
	return names
}

func placesFromEnvironment() (places, error) {
	p := places{
		runner: os.Getenv("CITADEL_SHIM_ADDRESS"),
		work:   os.Getenv("CITADEL_WORK_DIR"), tmp: os.Getenv("CITADEL_TMP_DIR"), data: os.Getenv("CITADEL_DATA_DIR"),
	}
	if os.Getpid() != 1 && (p.work == "" || p.tmp == "") {
		return p, errors.New("not process 1 of a container: CITADEL_WORK_DIR and CITADEL_TMP_DIR must name directories to empty")
	}
	for _, place := range []struct {
		value    *string
		fallback string
	}{{&p.runner, "127.0.0.1:7070"}, {&p.work, "/work"}, {&p.tmp, "/tmp"}} {
		if *place.value == "" {
			*place.value = place.fallback
		}
	}
	if scratch := os.Getenv("CITADEL_SCRATCH"); scratch != "" {
		p.work, p.tmp, p.data = filepath.Join(scratch, "work"), filepath.Join(scratch, "tmp"), ""
		// An image of before, or one that was made by hand, has no link to it.
		if data := filepath.Join(scratch, "data"); linksTo("/data", data) {
			p.data = data
		}
		p.packages = filepath.Join(scratch, packagesName)
		os.Setenv(packagesVariable, p.packages)
		for _, directory := range p.all() {
			if err := os.Mkdir(directory, 0o700); err != nil {
				return p, err
			}
			info, err := os.Lstat(directory)
			if err != nil {
				return p, err
			}
			p.own = append(p.own, info)
		}
		os.Setenv("TMPDIR", p.tmp)
	}
	for _, directory := range p.all() {
		if info, err := os.Stat(directory); err != nil {
			return p, err
		} else if !info.IsDir() {
			return p, fmt.Errorf("%s is not a directory", directory)
		}
	}
	for _, name := range []string{"CITADEL_SHIM_ADDRESS", "CITADEL_WORK_DIR", "CITADEL_TMP_DIR", "CITADEL_DATA_DIR", "CITADEL_SCRATCH"} {
		os.Unsetenv(name)
	}
	os.Setenv("HOME", p.work)
	return p, nil
}

func linksTo(link, target string) bool {
	found, err := os.Readlink(link)
	return err == nil && found == target
}

// serve runs attempts until the runner's connection ends (nil), or the sandbox is not clean any more.
func serve(p places, command []string) error {
	ignoreTermination()
	processes, err := newReaper()
	if err != nil {
		return err
	}
	s := &shim{places: p, processes: processes, tree: tree{self: os.Getpid()}}
	s.incoming = &incoming{places: p, packages: packages{path: p.packages}}
	if len(command) > 0 {
		if s.harness, err = startInterpreter(processes, &s.incoming.programs, command, p.work); err != nil {
			return err
		}
		if keeping, keeps := s.harness.(*keeping); keeps {
			s.tree.kept = keeping.spare
		} else {
			s.tree.harness = s.harness.spare()
		}
	}
	conn, err := connect(p.runner)
	if err != nil {
		return err
	}
	s.out = wire.NewWriter(conn)
	hello, err := json.Marshal(wire.Hello{Version: version, Runtime: s.harness != nil})
	if err != nil {
		return err
	}
	if err := s.out.Write(wire.KindHello, hello); err != nil {
		return err
	}
	assigned, cancels, lost := make(chan []byte), make(chan wire.Cancel, 8), make(chan error, 1)
	verdicts := make(chan wire.Verdict, 1)
	s.cancels, s.verdicts, s.lost = cancels, verdicts, lost
	go func() { lost <- receive(conn, s.incoming, assigned, cancels, verdicts) }()
	return s.loop(assigned)
}

// ignoreTermination: the kubelet's SIGTERM is the runner's business, whose end ends the shim. The signals are caught,
// not ignored, because children would inherit that.
func ignoreTermination() {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		for range caught {
		}
	}()
}

// connect reaches the runner as soon as it listens.
func connect(address string) (net.Conn, error) {
	pause := time.Millisecond
	for deadline := time.Now().Add(connectWithin); ; pause = min(2*pause, 20*time.Millisecond) {
		conn, err := net.DialTimeout("tcp4", address, time.Second)
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(pause)
	}
}

// receive takes the runner's frames until the connection ends.
func receive(
	conn net.Conn, blobs *incoming, assigned chan<- []byte, cancels chan<- wire.Cancel, verdicts chan<- wire.Verdict,
) error {
	frames := wire.NewReader(conn, wire.MaxFrame)
	for {
		kind, payload, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case wire.KindAssign:
			assigned <- append([]byte(nil), payload...)
		case wire.KindCancel:
			var cancel wire.Cancel
			if err := json.Unmarshal(payload, &cancel); err != nil {
				return err
			}
			select {
			case cancels <- cancel:
			default: // as many wait already
			}
		case wire.KindBlob:
			if err := blobs.take(payload); err != nil {
				return err
			}
		case wire.KindVerdict:
			var verdict wire.Verdict
			if err := json.Unmarshal(payload, &verdict); err != nil {
				return err
			}
			select {
			case verdicts <- verdict:
			default:
				return errors.New("a verdict that nobody asked for")
			}
		default:
			return fmt.Errorf("a frame of unknown kind %q", kind)
		}
	}
}
