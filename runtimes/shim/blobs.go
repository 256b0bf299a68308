package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/bundle"
	"citadel.dev/runtimes/internal/wire"
)

// incoming takes the blobs that the runner sends ahead of an assignment. What goes wrong with one is the failure of
// the attempt that it came for.
type incoming struct {
	places   places
	programs programs
	packages packages
	tree     *arriving

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
	case strings.HasPrefix(name, wire.FilePrefix):
		err = i.unpack(strings.TrimPrefix(name, wire.FilePrefix), piece)
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

// arriving is a tree that is unpacked as it comes.
type arriving struct {
	pipe *io.PipeWriter
	done chan error
}

// unpack takes a piece of the tree that is to stand at path.
func (i *incoming) unpack(path string, piece []byte) error {
	if i.tree == nil {
		base, below, err := i.places.find(path)
		if err != nil {
			return err
		}
		reading, writing := io.Pipe()
		coming := &arriving{writing, make(chan error, 1)}
		go func() {
			err := bundle.Unpack(base, below, reading)
			reading.CloseWithError(err) // who still writes is told
			coming.done <- err
		}()
		i.tree = coming
	}
	if len(piece) > 0 {
		if _, err := i.tree.pipe.Write(piece); err == nil {
			return nil
		}
	}
	i.tree.pipe.Close()
	err := <-i.tree.done
	i.tree = nil
	if err != nil {
		return fmt.Errorf("the artifact for %s: %w", path, roomFor(err))
	}
	return nil
}

// roomFor says of a lack of room what it is a lack of.
func roomFor(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w (files of a sandbox are in memory: a Runtime's scratch, or a container's memory limit, is their room)", err)
	}
	return err
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

// place writes the files of an attempt, beside the trees that came for it.
func (s *shim) place(a *wire.Assignment) *wire.Failure {
	for _, path := range slices.Sorted(maps.Keys(a.Files)) {
		base, below, err := s.places.find(path)
		if err == nil {
			err = bundle.Write(base, below, []byte(a.Files[path]))
		}
		if err != nil {
			return wire.Failf(wire.ReasonError, "file %s cannot be written: %v", path, roomFor(err))
		}
	}
	return nil
}

// leave sends what the attempt is to leave, as it stands now that no process is left.
func (s *shim) leave(a *wire.Assignment) (*wire.Failure, error) {
	if a.Artifacts == nil {
		return nil, nil
	}
	for _, left := range a.Artifacts.Out {
		base, below, err := s.places.find(left.Path)
		if err != nil {
			return wire.Failf(wire.ReasonError, "artifact %s: %v", left.Name, err), nil
		}
		failure, err := s.send(a, left.Name, func(to io.Writer) error {
			if err := bundle.Pack(base, below, to); err != nil {
				return fmt.Errorf("%s: %w", left.Path, err)
			}
			return nil
		})
		if failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
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
