package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// heartbeatPause is the least time between two heartbeats of which the first brought nothing new.
const heartbeatPause = time.Second

// maxEarly bounds the cancellations that are remembered for assignments still on their way.
const maxEarly = 16

// heartbeats tells the gateway that this sandbox lives, and hears what it is to end. stop ends the sandbox.
func (s *session) heartbeats(ctx context.Context, stop context.CancelCauseFunc) {
	for ctx.Err() == nil {
		sent := time.Now()
		answer, err := s.gateway.heartbeat(ctx, s.beat(), s.limits.HeartbeatSeconds)
		news := false
		switch {
		case refusedWith(err, http.StatusGone), refusedWith(err, http.StatusUnauthorized):
			stop(err)
			return
		case err != nil && ctx.Err() == nil:
			logf("heartbeat: %v", err)
		case err == nil:
			news = s.heard(answer)
		}
		if wait := heartbeatPause - time.Since(sent); !news && wait > 0 {
			sleep(ctx, wait)
		}
	}
}

// beat is what runs now.
func (s *session) beat() beat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return beat{}
	}
	return beat{Step: s.running.step, Attempt: s.running.attempt, Cancelling: s.told}
}

// heard acts on an answer, and tells whether there was anything new in it.
func (s *session) heard(answer pulse) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := false
	if answer.Drain && !s.draining {
		s.draining, news = true, true
		close(s.drained)
	}
	for _, wanted := range answer.Cancel {
		named := key{wanted.Step, wanted.Attempt}
		cancel := wire.Cancel{Step: wanted.Step, Attempt: wanted.Attempt, GraceSeconds: wanted.GraceSeconds}
		if s.running == nil || *s.running != named {
			if len(s.early) < maxEarly {
				s.early[named] = cancel
			}
			continue
		}
		if s.told != nil && *s.told == cancel.GraceSeconds {
			continue
		}
		s.told, news = &cancel.GraceSeconds, true
		select {
		case s.cancels <- cancel:
		default: // eight different graces wait already
		}
	}
	return news
}

// parseShimFailure reads the failure in a result frame. The shim wrote it, so its reason stands.
func parseShimFailure(body []byte) (*wire.Failure, error) {
	var failure wire.Failure
	if err := json.Unmarshal(body, &failure); err != nil {
		return nil, err
	}
	return failure.Bounded(), nil
}
