package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"citadel.dev/runtimes/internal/wire"
)

// incoming takes the blobs that the runner sends ahead of an assignment. What goes wrong with one is the failure of
// the attempt that it came for.
type incoming struct {
	programs programs
	packages packages

	mu     sync.Mutex
	failed error
}

// take takes a piece of a blob.
func (i *incoming) take(payload []byte) error {
	name, piece, err := wire.ParseBlob(payload)
	if err != nil {
		return err
	}
	if i.broken() != nil {
		return nil // the rest of it
	}
	switch {
	case name == wire.ProgramName:
		err = i.programs.take(piece)
	case name == wire.PackagesName:
		err = i.packages.take(piece)
	default:
		return fmt.Errorf("a blob of unknown name %q", name)
	}
	if err != nil {
		i.mu.Lock()
		i.failed = err
		i.mu.Unlock()
	}
	return nil
}

func (i *incoming) broken() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}

// failure is what went wrong with the blobs of an attempt, which has now begun. A sandbox that lacks room for one of
// them is not used again, because the runner believes that it has them all.
func (i *incoming) failure() *wire.Failure {
	if err := i.broken(); err != nil {
		return wire.Failf(wire.ReasonError, "what the step needs could not be placed in its sandbox: %v", err)
	}
	return nil
}

// send gives an artifact to the runner, and waits until it is stored. write says it whole, each time it is called,
// and the same each time: a gateway that went away in the midst of it makes the runner ask again.
func (s *shim) send(a *wire.Assignment, name string, write func(io.Writer) error) (*wire.Failure, error) {
	for {
		blob, err := s.out.Blob(wire.ArtifactPrefix + name)
		if err != nil {
			return wire.Failf(wire.ReasonError, "artifact %s: %v", name, err), nil
		}
		wrong := write(blob)
		// An end in any case: the runner tells a blob that is cut short by the failure that follows it.
		if err := blob.Close(); err != nil {
			return nil, err
		}
		verdict, failure, err := s.verdict(a, name)
		switch {
		case err != nil || failure != nil:
			return failure, err
		case wrong != nil:
			return wire.Failf(wire.ReasonInvalidOutput, "artifact %s: %v", name, wrong), nil
		case !verdict.Again:
			return verdict.Failure, nil
		}
	}
}

// verdict waits for what the runner says of an artifact. A cancellation ends the wait: nobody needs it any more.
func (s *shim) verdict(a *wire.Assignment, name string) (wire.Verdict, *wire.Failure, error) {
	for {
		select {
		case verdict := <-s.verdicts:
			if strings.TrimPrefix(verdict.Name, wire.ArtifactPrefix) == name {
				return verdict, nil, nil
			}
		case cancel := <-s.cancels:
			if cancel.Step == a.Step && cancel.Attempt == a.Attempt {
				return wire.Verdict{}, wire.Failf(wire.ReasonCancelled, "cancelled while its artifacts were stored"), nil
			}
		case err := <-s.lost:
			return wire.Verdict{}, nil, fmt.Errorf("%w: %w", errRunnerGone, err)
		}
	}
}
