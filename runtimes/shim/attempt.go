package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"syscall"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

const (
	// exitWithin is how long a killed program may take to be reported.
	exitWithin = 5 * time.Second
)

// errRunnerGone: nobody is there any more to take results.
var errRunnerGone = errors.New("the runner's connection ended")

// interpreter runs the code of attempts, each in a clean process.
type interpreter interface {
	// streams are the pipes of the next attempt.
	streams() (*capture, error)
	// run starts the next attempt, with these pipes. An interpreter that goes away ends the channel without a value.
	run(a *wire.Assignment, request []byte, streams *capture) (<-chan exit, error)
	// prepare makes ready for another attempt. Call it when nothing of the last one is left.
	prepare() error
	// spare is the pid of a process that outlives attempts, 0 if there is none.
	spare() int
}

// shim runs one attempt after another.
type shim struct {
	places    places
	processes *reaper
	tree      tree
	harness   interpreter // nil in the sandbox of a container step
	out       *wire.Writer
	incoming  *incoming
	cancels   <-chan wire.Cancel
	verdicts  <-chan wire.Verdict
	lost      <-chan error // the runner's connection has ended
	next      ahead
	last      bool // the attempt was to have the sandbox for itself
}

// exit is how a program ended: an exit code, or minus the number of a signal; lost when that cannot be known. One that
// has said all that it had to say may not have ended yet.
type exit struct {
	code int
	lost bool
	said bool
}

// endOf is what came from a channel of exits: nothing, when it was closed.
func endOf(end exit, known bool) exit {
	end.lost = end.lost || !known
	return end
}

func exitOf(status syscall.WaitStatus) exit {
	if status.Signaled() {
		return exit{code: -int(status.Signal())}
	}
	return exit{code: status.ExitStatus()}
}

// loop runs assignments until the runner is gone, or the sandbox cannot be made clean.
func (s *shim) loop(assigned <-chan []byte) error {
	for {
		select {
		case err := <-s.lost:
			return err
		case request := <-assigned:
			outcome, body, err := s.attempt(request)
			if err != nil {
				return err
			}
			if err := s.out.Write(wire.KindResult, append([]byte{byte(outcome)}, body...)); err != nil {
				return err
			}
			if outcome.IsLast() {
				return errors.New("the sandbox cannot be used again")
			}
			if s.last {
				return <-s.lost
			}
			if err := s.lookAhead(); err != nil {
				return err
			}
		}
	}
}

// attempt runs one assignment and leaves the sandbox clean, or says with its outcome that it could not.
func (s *shim) attempt(request []byte) (wire.Outcome, []byte, error) {
	var a wire.Assignment
	if err := json.Unmarshal(request, &a); err != nil {
		return 0, nil, fmt.Errorf("assignment: %w", err)
	}
	failure, usable := s.unfit(&a), true
	if failure == nil {
		failure = s.incoming.failure()
		usable = failure == nil
	}
	var output []byte
	if failure == nil {
		var err error
		if output, failure, usable, err = s.serve(&a, request); err != nil {
			return 0, nil, err
		}
		if usable && s.tree.standings() != s.next.standings {
			log.Printf("%s: the step has changed limits or priority of what the next one descends from", a.Step)
			usable = false
		}
		if s.last = a.Exclusive; !s.last { // else nothing follows: the sandbox goes as it is
			if err := s.prepare(usable); err != nil {
				log.Printf("%s: %v", a.Step, err)
				usable = false
			}
		}
	}
	outcome, body := wire.Succeeded, output
	if failure != nil {
		outcome = wire.Failed
		var err error
		if body, err = wire.Marshal(failure.Bounded()); err != nil {
			return 0, nil, err
		}
	}
	if !usable {
		outcome = outcome.Last()
	}
	return outcome, body, nil
}

// serve runs the attempt between what goes into it and what it leaves.
func (s *shim) serve(a *wire.Assignment, request []byte) (output []byte, failure *wire.Failure, usable bool, err error) {
	if failure := s.place(a); failure != nil {
		return nil, failure, true, nil
	}
	output, failure, usable, err = s.run(a, request)
	if failure == nil && err == nil {
		failure, err = s.leave(a)
	}
	return output, failure, usable, err
}

// unfit tells why this sandbox cannot run the assignment at all.
func (s *shim) unfit(a *wire.Assignment) *wire.Failure {
	switch {
	case a.Action == wire.ActionRun && s.harness == nil:
		return wire.Failf(wire.ReasonError, "this sandbox has no language runtime, so it cannot run code")
	case a.Action == wire.ActionContainer && s.harness != nil:
		return wire.Failf(wire.ReasonError, "this sandbox is a language runtime's, so it cannot run a command")
	case a.Action == wire.ActionBuild && !s.builds():
		return wire.Failf(wire.ReasonError, "this sandbox has no compiled language, so it cannot build")
	case a.Action != wire.ActionRun && a.Action != wire.ActionContainer && a.Action != wire.ActionBuild:
		return wire.Failf(wire.ReasonError, "this sandbox does not know the action %q", a.Action)
	case a.Action == wire.ActionContainer && len(a.Command) == 0:
		return wire.Failf(wire.ReasonError, "step %s has no command: a container step needs one", a.Step)
	default:
		return nil
	}
}

// prepare makes the sandbox ready for the next step.
func (s *shim) prepare(usable bool) error {
	if err := s.tree.clear(); err != nil || !usable {
		return err
	}
	if err := s.incoming.packages.unchanged(); err != nil {
		return err
	}
	if err := clean(s.places, s.incoming.packages.name(), s.tree.self == 1); err != nil || s.harness == nil {
		return err
	}
	return s.harness.prepare()
}

// run runs the program to its end. usable is false when the harness is not to be trusted with another step.
func (s *shim) run(a *wire.Assignment, request []byte) (output []byte, failure *wire.Failure, usable bool, err error) {
	captured := s.takeStreams()
	defer captured.close()
	captured.follow(s.out, a.OutputBytes)
	var ended <-chan exit
	if s.harness == nil {
		ended, failure, err = s.startContainer(a, captured.stdout, captured.stderr)
	} else {
		ended, err = s.harness.run(a, request, captured)
	}
	captured.started()
	if err != nil {
		return nil, wire.Failf(wire.ReasonError, "%v", err), false, nil
	}
	if failure != nil {
		return nil, failure, true, nil
	}
	end, by, err := s.await(a, ended, captured)
	if err != nil {
		return nil, nil, false, err
	}
	usable = !end.lost
	if !end.said { // else nothing follows in this sandbox
		if err := s.tree.clear(); err != nil { // children left behind hold the pipes open, and are no failure
			log.Printf("%s: %v", a.Step, err)
			usable = false
		}
	}
	usable = captured.drain() && usable
	if by == wire.ReasonTimeout {
		return nil, wire.Failf(by, "ran longer than its timeout of %gs", *a.TimeoutSeconds), usable, nil
	}
	if s.harness == nil {
		output, failure = containerVerdict(filepath.Join(s.places.tmp, outputName), end, a.OutputBytes)
	} else {
		output, failure = s.verdictOf(a, captured.said, end)
	}
	if failure != nil && oomKills() > s.next.kills {
		failure.Reason = wire.ReasonOOMKilled
		failure.Message = fmt.Sprintf("out of memory: the kernel killed a process of the step (%s)", failure.Message)
	} else if failure != nil && by == wire.ReasonCancelled {
		failure.Reason = wire.ReasonCancelled
		failure.Message = fmt.Sprintf("cancelled while it ran (%s)", failure.Message)
	}
	if failure == nil && a.Action == wire.ActionBuild {
		output, failure, err = s.deliver(a)
	}
	return output, failure, usable, err
}

// await waits for the program's end, and brings it about on timeout and cancellation, whichever comes first: by.
//
// An agent's is over with its last word, as it leaves nothing: giving back the memory of its process takes longer than
// the rest.
func (s *shim) await(a *wire.Assignment, ended <-chan exit, captured *capture) (end exit, by wire.Reason, err error) {
	var timeout, grace <-chan time.Time
	var over <-chan struct{}
	if a.Agent && a.Exclusive {
		over = captured.over
	}
	if a.TimeoutSeconds != nil {
		timer := time.NewTimer(wire.Seconds(*a.TimeoutSeconds))
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case end, known := <-ended:
			return endOf(end, known), by, nil
		case <-over:
			if over = nil; isWhole(captured.said) {
				return exit{said: true}, by, nil
			}
		case err := <-s.lost:
			return exit{}, by, errors.Join(errRunnerGone, err, s.tree.clear())
		case cancel := <-s.cancels:
			if cancel.Step != a.Step || cancel.Attempt != a.Attempt {
				continue // it came too late for another
			}
			if by == "" {
				by = wire.ReasonCancelled
				if err := s.tree.signal(syscall.SIGTERM); err != nil {
					return exit{}, by, err
				}
			}
			grace = time.After(wire.Seconds(cancel.GraceSeconds))
		case <-timeout:
			return s.kill(ended), wire.ReasonTimeout, nil
		case <-grace:
			return s.kill(ended), by, nil
		}
	}
}

// kill ends everything and waits until the program is reported as ended.
func (s *shim) kill(ended <-chan exit) exit {
	if err := s.tree.clear(); err != nil {
		log.Printf("%v", err)
		return exit{lost: true}
	}
	select {
	case end, known := <-ended:
		return endOf(end, known)
	case <-time.After(exitWithin):
		return exit{lost: true}
	}
}
