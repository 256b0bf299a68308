package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"citadel.dev/runtimes/internal/logs"
	"citadel.dev/runtimes/internal/wire"
)

// errShimGone: the shim's connection ended, so nothing runs here any more. Why (out of memory, say) is in the status
// of the pod, which the controller reads.
var errShimGone = errors.New("the shim's connection ended")

// sandbox is the runner's end of the connection to the shim in the container main.
type sandbox struct {
	ready   chan struct{} // closed when the shim has said hello
	warm    chan struct{} // closed when it has loaded what attempts need, or does not tell
	gone    chan struct{} // closed when it is connected no more
	results chan result

	mu     sync.Mutex
	frames *wire.Writer
	log    *logs.Log // of the running attempt, nil when none runs
	keep   keeper    // of the running attempt
}

// work is one attempt with all that belongs to it.
type work struct {
	attempt *wire.Assignment
	log     *logs.Log
	cancels <-chan wire.Cancel
	give    func(context.Context, *wire.Writer) error // sends what the attempt needs ahead of it; nil: nothing
	keep    keeper
}

// keeper stores an artifact of the running attempt.
type keeper func(name string, source io.Reader) wire.Verdict

// result is an attempt's end as the shim tells it.
type result struct {
	outcome wire.Outcome
	body    []byte
}

// newSandbox accepts one connection, the shim's, which comes before any user code can run; then nobody listens.
func newSandbox(listener net.Listener) *sandbox {
	s := &sandbox{
		ready: make(chan struct{}), warm: make(chan struct{}), gone: make(chan struct{}), results: make(chan result, 1),
	}
	go func() {
		conn, err := listener.Accept()
		listener.Close()
		if err == nil {
			err = s.read(conn)
		}
		logf("sandbox: %v", err)
		close(s.gone)
	}()
	return s
}

// read takes the shim's frames until the connection ends.
func (s *sandbox) read(conn net.Conn) error {
	defer conn.Close()
	frames := wire.NewReader(conn, wire.MaxFrame)
	kind, payload, err := frames.Next()
	if err != nil {
		return fmt.Errorf("no hello: %w", err)
	}
	var hello wire.Hello
	if kind != wire.KindHello || json.Unmarshal(payload, &hello) != nil {
		return fmt.Errorf("the first frame is %q, not a hello", kind)
	}
	s.mu.Lock()
	s.frames = wire.NewWriter(conn)
	s.mu.Unlock()
	close(s.ready)
	warm := sync.OnceFunc(func() { close(s.warm) })
	if !hello.Warms {
		warm()
	}
	var coming *artifact
	defer func() {
		if coming != nil {
			coming.pipe.CloseWithError(errShimGone)
		}
	}()
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			return fmt.Errorf("%w: %w", errShimGone, err)
		}
		switch kind {
		case wire.KindStdout, wire.KindStderr:
			if log := s.current(); log != nil {
				name := logs.Stdout
				if kind == wire.KindStderr {
					name = logs.Stderr
				}
				log.Write(name, payload)
			}
		case wire.KindWarm:
			warm()
		case wire.KindResult:
			if len(payload) == 0 || !wire.Outcome(payload[0]).Valid() {
				return errors.New("a result without outcome")
			}
			select {
			case s.results <- result{wire.Outcome(payload[0]), append([]byte(nil), payload[1:]...)}:
			default:
				return errors.New("a result that nobody asked for")
			}
		case wire.KindBlob:
			if coming, err = s.blob(coming, payload); err != nil {
				return err
			}
		default:
			return fmt.Errorf("a frame of unknown kind %q", kind)
		}
	}
}

// artifact is one that the shim is sending.
type artifact struct {
	name string
	pipe *io.PipeWriter
}

// blob takes a piece of an artifact, as fast as the gateway does.
func (s *sandbox) blob(coming *artifact, payload []byte) (*artifact, error) {
	name, piece, err := wire.ParseBlob(payload)
	if err != nil {
		return coming, err
	}
	if coming == nil {
		plain, found := strings.CutPrefix(name, wire.ArtifactPrefix)
		s.mu.Lock()
		keep := s.keep
		s.mu.Unlock()
		if !found || keep == nil {
			return nil, fmt.Errorf("a blob %q that nobody asked for", name)
		}
		reading, writing := io.Pipe()
		coming = &artifact{name, writing}
		go func() {
			verdict := keep(plain, reading)
			io.Copy(io.Discard, reading) // what is left of one that was given up
			if payload, err := wire.Marshal(verdict); err == nil {
				s.frames.Write(wire.KindVerdict, payload)
			}
		}()
	}
	if name != coming.name {
		return coming, fmt.Errorf("a piece of blob %q amid blob %q", name, coming.name)
	}
	if len(piece) == 0 {
		coming.pipe.Close()
		return nil, nil
	}
	coming.pipe.Write(piece)
	return coming, nil
}

func (s *sandbox) current() *logs.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log
}

// run hands an attempt to the shim and waits for its end. A cancellation may come before the shim has connected:
// then the attempt ends without having begun.
func (s *sandbox) run(ctx context.Context, w work) (result, error) {
	payload, err := wire.Marshal(w.attempt)
	if err != nil {
		return result{}, err
	}
	select {
	case <-s.ready:
	case <-w.cancels:
		return unbegun(wire.Failed, wire.ReasonCancelled, "cancelled before it started")
	case <-s.gone:
		return result{}, errShimGone
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	if w.give != nil {
		if ended, err := s.ahead(ctx, w); ended != nil {
			return *ended, err
		}
	}
	s.serve(w.log, w.keep)
	defer s.serve(nil, nil)
	if err := s.frames.Write(wire.KindAssign, payload); err != nil {
		return result{}, fmt.Errorf("%w: %w", errShimGone, err)
	}
	for {
		select {
		case ended := <-s.results:
			return ended, nil
		case cancel := <-w.cancels:
			if payload, err := wire.Marshal(cancel); err == nil {
				s.frames.Write(wire.KindCancel, payload) // a lost connection shows in gone
			}
		case <-s.gone:
			select {
			case ended := <-s.results: // said before it went
				return ended, nil
			default:
				return result{}, errShimGone
			}
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
	}
}

// ahead sends what an attempt needs. A result is one of an attempt that has not begun: the sandbox ends with it, as
// the shim has a part of something.
func (s *sandbox) ahead(ctx context.Context, w work) (*result, error) {
	giving, stop := context.WithCancel(ctx)
	defer stop()
	given := make(chan error, 1)
	go func() { given <- w.give(giving, s.frames) }()
	var ended result
	var err error
	select {
	case err = <-given:
		if err == nil {
			return nil, nil
		}
		if refusedWith(err, http.StatusUnauthorized) || refusedWith(err, http.StatusGone) || ctx.Err() != nil {
			return &ended, err
		}
		ended, err = unbegun(wire.LastFailed, wire.ReasonError, "what the step needs did not come: %v", err)
	case <-w.cancels:
		stop()
		<-given
		ended, err = unbegun(wire.LastFailed, wire.ReasonCancelled, "cancelled before it started")
	case <-s.gone:
		err = errShimGone
	case <-ctx.Done():
		err = ctx.Err()
	}
	return &ended, err
}

func unbegun(outcome wire.Outcome, reason wire.Reason, format string, args ...any) (result, error) {
	body, err := wire.Marshal(wire.Failf(reason, format, args...))
	return result{outcome, body}, err
}

func (s *sandbox) serve(log *logs.Log, keep keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.keep = log, keep
}
