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

// serve runs attempts until the runner's connection ends (nil), or the sandbox is not clean any more.
func serve(p places, command []string) error {
	ignoreTermination()
	processes, err := newReaper()
	if err != nil {
		return err
	}
	s := &shim{places: p, processes: processes, tree: tree{self: os.Getpid(), reap: processes.collect}}
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
	forking, warms := s.harness.(*harness)
	hello, err := json.Marshal(wire.Hello{Version: version, Runtime: s.harness != nil, Warms: warms})
	if err != nil {
		return err
	}
	if err := s.out.Write(wire.KindHello, hello); err != nil {
		return err
	}
	if warms {
		go func() {
			<-forking.ready
			s.out.Write(wire.KindWarm, nil) // a lost connection shows where it is read
		}()
	}
	assigned, cancels, lost := make(chan []byte), make(chan wire.Cancel, 8), make(chan error, 1)
	verdicts := make(chan wire.Verdict, 1)
	s.cancels, s.verdicts, s.lost = cancels, verdicts, lost
	go func() { lost <- receive(conn, s.incoming, assigned, cancels, verdicts) }()
	if err := s.lookAhead(); err != nil {
		return err
	}
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
