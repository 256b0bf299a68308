package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// onlyReaper collects all children: a second one would take those of the first.
var onlyReaper = sync.OnceValues(newReaper)

// spawner starts the shell's script as what waits for an attempt.
func spawner(t *testing.T, script string) *spawning {
	t.Helper()
	processes, err := onlyReaper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := startSpawning(processes, []string{"sh", "-c", script}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := (tree{self: os.Getpid()}).clear(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// attempt runs one, to the end of its pipes: what it printed, its result, how it ended.
func attempt(t *testing.T, s *spawning, request string) (printed, said string, end exit) {
	t.Helper()
	var frames strings.Builder
	streams, err := s.streams()
	if err != nil {
		t.Fatal(err)
	}
	defer streams.close()
	streams.follow(wire.NewWriter(&frames), 1<<20)
	ended, err := s.run(nil, []byte(request), streams)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case end = <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the process does not end")
	}
	if !streams.drain() {
		t.Fatal("the pipes do not close")
	}
	return frames.String(), string(streams.said), end
}

func TestEachAttemptHasAProcessOfItsOwn(t *testing.T) {
	s := spawner(t, `wc -c <&3; echo "S$$" >&4; exit 3`)
	seen := map[string]bool{}
	for _, request := range []string{"one", strings.Repeat("x", 200_000)} { // more than a pipe holds
		printed, said, end := attempt(t, s, request)
		if !strings.Contains(printed, strconv.Itoa(len(request))+"\n") || !strings.HasPrefix(said, "S") || end.code != 3 {
			t.Errorf("%.10s: %.20q, %q, %v", request, printed, said, end)
		}
		seen[said] = true
		if err := s.prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("one process ran both: %v", seen)
	}
}

func TestAProcessThatReadsNoRequestHoldsNothingUp(t *testing.T) {
	s := spawner(t, `exec 3<&-; sleep 0.05; kill -9 $$`)
	if _, said, end := attempt(t, s, strings.Repeat("x", 200_000)); end.code != -9 || said != "" {
		t.Errorf("%q, %v", said, end)
	}
}

func TestAProcessThatEndsWhileItWaitsIsReplaced(t *testing.T) {
	s := spawner(t, `mkdir first 2>/dev/null && exit 9; cat <&3 >&4`)
	first := s.next
	for deadline := time.Now().Add(10 * time.Second); len(first.ended) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the first process does not end")
		}
	}
	if _, said, end := attempt(t, s, "two"); said != "two" || end.code != 0 {
		t.Errorf("%q, %v", said, end)
	}
}

func TestAProcessWithoutARequestSeesItsEnd(t *testing.T) {
	s := spawner(t, `cat <&3; echo S >&4`)
	s.next.request.Close()
	if end := exitOf(<-s.next.ended); end.code != 0 {
		t.Errorf("%v", end)
	}
}

func TestACommandThatIsNotThereIsNamed(t *testing.T) {
	processes, err := onlyReaper()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"spawn"}, {"spawn", "--"}, {"spawn", "--", "no-such-program"}, {"program", "--"}, {"keep", "--"}, {"keep", "--", "no-such-program"}} {
		_, err := startInterpreter(processes, &programs{}, command, os.TempDir())
		if err == nil || !strings.Contains(err.Error(), "the harness cannot start") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
