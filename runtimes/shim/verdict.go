package main

import (
	"syscall"

	"golang.org/x/sys/unix"

	"citadel.dev/runtimes/internal/jsontext"
	"citadel.dev/runtimes/internal/wire"
)

// containerVerdict is a container step's output or failure, from its exit code and the file it wrote.
func containerVerdict(path string, end exit, limit int) ([]byte, *wire.Failure) {
	if end.lost || end.code != 0 {
		return nil, exitFailure(end)
	}
	data, failure := readOutput(path, limit)
	if failure != nil {
		return nil, failure
	}
	if err := jsontext.Check(data); err != nil {
		return nil, wire.Failf(wire.ReasonInvalidOutput, "CITADEL_OUTPUT is %v", err)
	}
	return data, nil
}

// verdictOf is what became of a code step: what its process said, or what is known of how its language ends a process.
func (s *shim) verdictOf(a *wire.Assignment, said []byte, end exit) ([]byte, *wire.Failure) {
	switch s.harness.(type) {
	case *compiled:
		if isCrash(said) {
			return nil, crashed(string(said), a.Step)
		}
	case *keeping:
		if len(said) == 0 && end.code == outOfMemoryCode {
			return nil, wire.Failf(wire.ReasonOOMKilled, "out of memory: the heap, a part of the sandbox's memory, is full")
		}
	}
	return harnessVerdict(said, end, a)
}

// harnessVerdict is a code step's output or failure, from what its fork said. User code may have said it.
func harnessVerdict(said []byte, end exit, a *wire.Assignment) ([]byte, *wire.Failure) {
	if len(said) > 0 && said[0] == 'F' {
		if failure, err := wire.ParseFailure(said[1:], a.Agent); err == nil {
			return nil, failure
		}
	}
	switch {
	case end.lost:
		return nil, wire.Failf(wire.ReasonError, "the interpreter that ran the step has ended")
	case end.code != 0:
		return nil, exitFailure(end)
	case len(said) == 0 || said[0] != 'S':
		return nil, wire.Failf(wire.ReasonError, "the process ended before main returned")
	case len(said)-1 > a.OutputBytes:
		return nil, tooLarge(len(said)-1, a.OutputBytes)
	}
	if err := jsontext.Check(said[1:]); err != nil {
		return nil, wire.Failf(wire.ReasonInvalidOutput, "the output is %v", err)
	}
	return said[1:], nil
}

// isWhole tells whether this is all that a harness says of an attempt: one that is killed may have said a part.
func isWhole(said []byte) bool {
	return len(said) > 0 && (said[0] == 'S' || said[0] == 'F') && jsontext.Check(said[1:]) == nil
}

func exitFailure(end exit) *wire.Failure {
	switch {
	case end.lost:
		return wire.Failf(wire.ReasonError, "the process could not be ended")
	case end.code < 0:
		failure := wire.Failf(wire.ReasonError, "killed by %s", unix.SignalName(syscall.Signal(-end.code)))
		code := 128 - end.code // as a shell counts
		failure.ExitCode = &code
		return failure
	default:
		failure := wire.Failf(wire.ReasonError, "exit code %d", end.code)
		failure.ExitCode = &end.code
		return failure
	}
}

func tooLarge(size, limit int) *wire.Failure {
	return wire.Failf(wire.ReasonOutputTooLarge, "the output is %d bytes of JSON, at most %d are allowed", size, limit)
}
