package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"citadel.dev/runtimes/internal/egress"
	"citadel.dev/runtimes/internal/jsontext"
	"citadel.dev/runtimes/internal/logs"
	"citadel.dev/runtimes/internal/mask"
	"citadel.dev/runtimes/internal/wire"
)

const (
	// flushWithin is how long the end of a runner waits for its logs to leave; pods get a longer grace.
	flushWithin = 8 * time.Second
	// pollAfterDrain is how long a held poll may still bring an assignment when the sandbox is being drained.
	pollAfterDrain = time.Second
)

// session is a registered runner: one attempt after another.
type session struct {
	gateway *gateway
	keys    *keys
	sandbox *sandbox
	shipper *logs.Shipper
	parcels *parcels
	limits  limits
	door    *egress.Door // nil where there is no egress proxy
	agents  *agents
	member  bool          // of a warm pool
	drained chan struct{} // closed when no further assignment is wanted

	reported chan struct{} // closed when the gateway knows what the probe found
	mu       sync.Mutex
	running  *key
	told     *float64            // grace of the last cancellation passed on for running
	cancels  chan wire.Cancel    // for running
	early    map[key]wire.Cancel // cancellations that came before their assignment
	draining bool
}

func newSession(g *gateway, k *keys, sandbox *sandbox, shipper *logs.Shipper, bounds limits) *session {
	return &session{
		gateway: g, keys: k, sandbox: sandbox, shipper: shipper, parcels: &parcels{gateway: g}, limits: bounds,
		drained: make(chan struct{}), reported: make(chan struct{}), early: map[key]wire.Cancel{},
	}
}

// serve runs attempts until there is nothing more to do (nil), or something ends the sandbox.
func (s *session) serve(ctx context.Context, next *assignment) error {
	if next == nil && s.parcels.packages != nil {
		s.makeReady(ctx)
	}
	var last *report
	for {
		var err error
		switch {
		case next == nil && s.isDraining():
			return nil
		case next == nil:
			next, err = s.poll(ctx)
		case last != nil && last.key == next.key():
			// Its result was delivered, but the gateway does not know it: user code does not run twice for that.
			logf("%s is assigned again: its result is sent again", last.key)
			if !sleep(ctx, firstBackoff) {
				return ctx.Err()
			}
			next, err = s.deliver(ctx, last)
		default:
			last, err = s.attempt(ctx, next)
			if err == nil {
				s.awaitReport(ctx)
				next, err = s.deliver(ctx, last)
			}
		}
		if err != nil {
			return err
		}
		if last != nil && !last.next && next == nil {
			return nil
		}
	}
}

// makeReady sends the shim what any attempt will need, while there is none. What goes wrong with that is the failure of
// the first attempt.
func (s *session) makeReady(ctx context.Context) {
	select {
	case <-s.sandbox.ready:
		s.parcels.givePackages(ctx, s.sandbox.frames)
	case <-s.sandbox.gone:
	case <-s.drained:
	case <-ctx.Done():
	}
}

// poll waits for an assignment as long as the shim is there.
func (s *session) poll(ctx context.Context) (*assignment, error) {
	polling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.sandbox.gone:
			cancel(errShimGone)
		case <-s.drained:
			sleep(polling, pollAfterDrain)
			cancel(errDrained)
		case <-polling.Done():
		}
	}()
	next, err := s.gateway.poll(polling, s.limits.PollSeconds)
	if err = causeOf(polling, err); errors.Is(err, errDrained) {
		return nil, nil
	}
	return next, err
}

var errDrained = errors.New("drained")

// attempt runs one assignment to its end.
func (s *session) attempt(ctx context.Context, next *assignment) (*report, error) {
	// Back-pressure: a gateway that takes results but no logs does not make the runner grow.
	s.shipper.Below(ctx, s.limits.AttemptLogBytes/2)
	secrets, err := s.keys.unseal(next)
	if err != nil {
		body, marshalErr := wire.Marshal(wire.Failf(wire.ReasonError, "%v", err))
		return &report{key: next.key(), body: body, next: s.wantsMore(next)}, marshalErr
	}
	cancels := s.begin(next.key())
	defer s.end()
	next.OutputBytes = s.limits.OutputBytes
	log := s.shipper.Open(next.Step, next.Attempt, secrets)
	leave, err := s.open(next, log, secrets)
	if err != nil {
		chunks, _ := log.Close()
		body, marshalErr := wire.Marshal(wire.Failf(wire.ReasonError, "%v", err))
		return &report{key: next.key(), body: body, chunks: chunks, next: s.wantsMore(next)}, marshalErr
	}
	var kept atomic.Bool
	ended, err := s.sandbox.run(s.work(ctx, next, log, cancels, &kept))
	leave()
	chunks, tail := log.Close()
	if err != nil {
		return nil, err
	}
	done := &report{key: next.key(), succeeded: ended.outcome.IsSuccess(), chunks: chunks, artifacts: kept.Load()}
	done.next = s.wantsMore(next) && !ended.outcome.IsLast()
	if done.succeeded {
		done.body = ended.body
		if !secrets.None() {
			done.body = jsontext.MapStrings(ended.body, secrets.Text)
		}
		return done, nil
	}
	done.body, err = failureBody(ended.body, secrets, tail)
	return done, err
}

// work is the attempt with what goes ahead of it and what comes of it.
func (s *session) work(
	ctx context.Context, next *assignment, log *logs.Log, cancels <-chan wire.Cancel, kept *atomic.Bool,
) (context.Context, work) {
	w := work{attempt: &next.Assignment, log: log, cancels: cancels}
	if s.parcels.wanted(next) {
		w.give = func(ctx context.Context, frames *wire.Writer) error { return s.parcels.give(ctx, next, frames) }
	}
	w.keep = func(name string, source io.Reader) wire.Verdict {
		kept.Store(true)
		return s.parcels.keep(ctx, next.key(), name, source)
	}
	return ctx, w
}

func failureBody(body []byte, secrets *mask.Secrets, tail string) ([]byte, error) {
	failure, err := parseShimFailure(body)
	if err != nil {
		return nil, err
	}
	failure.Message = secrets.Text(failure.Message)
	if len(failure.Traceback) > 0 {
		failure.Traceback = strings.Split(secrets.Text(strings.Join(failure.Traceback, "\n")), "\n")
	}
	failure.LogTail = tail // masked with the log
	return wire.Marshal(failure)
}

func (s *session) wantsMore(done *assignment) bool { return !done.Exclusive && !s.isDraining() }

// deliver brings a report to the gateway and returns the next assignment. What the gateway refuses to take as an
// output or a failure becomes a shorter failure.
func (s *session) deliver(ctx context.Context, done *report) (*assignment, error) {
	for try := 0; ; try++ {
		next, err := s.gateway.result(ctx, *done)
		var refused *refusal
		if !errors.As(err, &refused) {
			return next, err
		}
		switch refused.status {
		case http.StatusConflict:
			logf("%s: %v", done.key, refused)
			return nil, nil
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if try == 2 {
				return nil, fmt.Errorf("%s: the result is refused: %w", done.key, refused)
			}
			logf("%s: %v", done.key, refused)
			failure := wire.Failf(wire.ReasonError, "the gateway refused the failure: %s", refused.message)
			if done.succeeded {
				reason := wire.ReasonInvalidOutput
				if refused.status == http.StatusRequestEntityTooLarge {
					reason = wire.ReasonOutputTooLarge
				}
				failure = wire.Failf(reason, "the output was refused: %s", refused.message)
			}
			if done.body, err = wire.Marshal(failure.Bounded()); err != nil {
				return nil, err
			}
			done.succeeded = false
		default:
			return nil, err
		}
	}
}

// begin notes what runs, and returns the channel of its cancellations.
func (s *session) begin(starting key) <-chan wire.Cancel {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.told, s.cancels = &starting, nil, make(chan wire.Cancel, 8)
	if cancel, found := s.early[starting]; found {
		s.told = &cancel.GraceSeconds
		s.cancels <- cancel
	}
	clear(s.early)
	return s.cancels
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.told, s.cancels = nil, nil, nil
}

func (s *session) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}
