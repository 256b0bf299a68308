package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
	gone    chan struct{} // closed when it is connected no more
	results chan result

	mu     sync.Mutex
	frames *wire.Writer
	log    *logs.Log // of the running attempt, nil when none runs
}

// result is an attempt's end as the shim tells it.
type result struct {
	outcome wire.Outcome
	body    []byte
}

// newSandbox accepts one connection, the shim's, which comes before any user code can run; then nobody listens.
func newSandbox(listener net.Listener) *sandbox {
	s := &sandbox{ready: make(chan struct{}), gone: make(chan struct{}), results: make(chan result, 1)}
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
		case wire.KindResult:
			if len(payload) == 0 || !wire.Outcome(payload[0]).Valid() {
				return errors.New("a result without outcome")
			}
			select {
			case s.results <- result{wire.Outcome(payload[0]), append([]byte(nil), payload[1:]...)}:
			default:
				return errors.New("a result that nobody asked for")
			}
		default:
			return fmt.Errorf("a frame of unknown kind %q", kind)
		}
	}
}

func (s *sandbox) current() *logs.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log
}

// run hands an attempt to the shim and waits for its end. A cancellation may come before the shim has connected:
// then the attempt ends without having begun.
func (s *sandbox) run(ctx context.Context, attempt *wire.Assignment, log *logs.Log, cancels <-chan wire.Cancel) (result, error) {
	payload, err := wire.Marshal(attempt)
	if err != nil {
		return result{}, err
	}
	select {
	case <-s.ready:
	case <-cancels:
		body, err := wire.Marshal(wire.Failf(wire.ReasonCancelled, "cancelled before it started"))
		return result{wire.Failed, body}, err
	case <-s.gone:
		return result{}, errShimGone
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	s.mu.Lock()
	s.log = log
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.log = nil
		s.mu.Unlock()
	}()
	if err := s.frames.Write(wire.KindAssign, payload); err != nil {
		return result{}, fmt.Errorf("%w: %w", errShimGone, err)
	}
	for {
		select {
		case ended := <-s.results:
			return ended, nil
		case cancel := <-cancels:
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
