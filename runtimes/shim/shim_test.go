package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"citadel.dev/runtimes/internal/wire"
)

func TestExpandFollowsKubernetes(t *testing.T) {
	e := &environment{values: map[string]string{}}
	e.set("A", "alpha")
	e.set("B", "$(A)")
	cases := map[string]string{
		"plain": "plain", "$(A)": "alpha", "x$(A)y$(A)": "xalphayalpha", "$$(A)": "$(A)", "$$$(A)": "$alpha",
		"$(B)": "$(A)", "$(NONE)": "$(NONE)", "$A": "$A", "$(A": "$(A", "$": "$", "$$": "$", "$()": "$()",
		"$($(A))": "$($(A))",
	}
	for text, want := range cases {
		if got := e.expand(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLaterVariablesWinAndOursLast(t *testing.T) {
	a := &wire.Assignment{Step: "s", Attempt: 2, Env: []wire.EnvVar{{Name: "A", Value: "step"}, {Name: "CITADEL_STEP", Value: "x"}}}
	e := containerEnvironment([]string{"A=image", "B=b=c"}, a, places{tmp: "/tmp"})
	want := []string{"A=step", "B=b=c", "PATH=" + defaultPath, "CITADEL_STEP=s", "CITADEL_ATTEMPT=2",
		"CITADEL_INPUT=/tmp/citadel-input.json", "CITADEL_OUTPUT=/tmp/citadel-output.json"}
	if got := e.list(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEmptyRemovesEverythingAndFollowsNoLink(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(outside, "kept")
	must(os.WriteFile(kept, []byte("x"), 0o600))
	must(os.Symlink(outside, filepath.Join(inside, "link")))
	must(os.Symlink(kept, filepath.Join(inside, "filelink")))
	must(syscall.Mkfifo(filepath.Join(inside, "fifo"), 0o600))
	must(os.MkdirAll(filepath.Join(inside, "locked", "inner"), 0o700))
	must(os.WriteFile(filepath.Join(inside, "locked", "inner", "file"), nil, 0o000))
	must(os.Chmod(filepath.Join(inside, "locked", "inner"), 0o500))
	must(os.Chmod(filepath.Join(inside, "locked"), 0o000))
	deep := inside
	for range 500 {
		deep = filepath.Join(deep, "d")
	}
	must(os.MkdirAll(deep, 0o700))
	must(empty(inside))
	names, err := os.ReadDir(inside)
	must(err)
	if len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

func TestEmptyRefusesALinkInPlaceOfTheDirectory(t *testing.T) {
	link := filepath.Join(t.TempDir(), "work")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if empty(link) == nil {
		t.Error("no error")
	}
}

func TestPlacesOfOurOwnAreRestoredAndNeverExchanged(t *testing.T) {
	scratch := t.TempDir()
	t.Setenv("CITADEL_SCRATCH", scratch)
	t.Setenv("CITADEL_WORK_DIR", scratch)
	t.Setenv("CITADEL_TMP_DIR", scratch)
	t.Setenv("HOME", "")
	t.Setenv("TMPDIR", "")
	p, err := placesFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.work, 0o100); err != nil {
		t.Fatal(err)
	}
	if err := clean(p, "", false); err != nil {
		t.Errorf("locked: %v", err)
	}
	if info, err := os.Stat(p.work); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("not restored: %v, %v", info, err)
	}
	if err := os.Rename(p.tmp, p.tmp+"2"); err != nil {
		t.Fatal(err)
	}
	if clean(p, "", false) == nil {
		t.Error("a place that is gone is no error")
	}
	if err := os.Mkdir(p.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if clean(p, "", false) == nil {
		t.Error("an exchanged place is no error")
	}
}

func TestReadOutput(t *testing.T) {
	directory := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(directory, "link")
	os.Symlink(write("target", "1"), link)
	fifo := filepath.Join(directory, "fifo")
	syscall.Mkfifo(fifo, 0o600)
	cases := []struct{ path, output, failure string }{
		{filepath.Join(directory, "missing"), "null", ""},
		{write("empty", ""), "null", ""},
		{write("full", `{"a": 1}`), `{"a": 1}`, ""},
		{write("large", strings.Repeat("1", 11)), "", "the output is 11 bytes of JSON, at most 10 are allowed"},
		{link, "", "is a symbolic link"},
		{fifo, "", "is not a regular file"},
		{directory, "", "is not a regular file"},
	}
	for _, test := range cases {
		output, failure := readOutput(test.path, 10)
		if string(output) != test.output || (failure == nil) != (test.failure == "") {
			t.Errorf("%s: %q, %v", test.path, output, failure)
		} else if failure != nil && !strings.Contains(failure.Message, test.failure) {
			t.Errorf("%s: %q", test.path, failure.Message)
		}
	}
}

func TestVerdictOfAHarness(t *testing.T) {
	cases := []struct {
		name, said string
		end        exit
		output     string
		reason     wire.Reason
		message    string
	}{
		{"success", `S{"a":1}`, exit{}, `{"a":1}`, "", ""},
		{"failure", `F{"reason":"InvalidCode","message":"m"}`, exit{}, "", wire.ReasonInvalidCode, "m"},
		{"a reason that it may not claim", `F{"reason":"Timeout","message":"m"}`, exit{}, "", wire.ReasonError, "m"},
		{"an agent passes on what the gateway said", `F{"reason":"TurnLimitExceeded","message":"m"}`, exit{}, "", "TurnLimitExceeded", "m"},
		{"an agent claims what no gateway says", `F{"reason":"Cancelled","message":"m"}`, exit{}, "", wire.ReasonError, "m"},
		{"nothing", "", exit{}, "", wire.ReasonError, "ended before main returned"},
		{"success and a crash", "S1", exit{code: -11}, "", wire.ReasonError, "killed by SIGSEGV"},
		{"not JSON", "Sx", exit{}, "", wire.ReasonInvalidOutput, "not valid JSON"},
		{"too large", "S" + strings.Repeat("1", 21), exit{}, "", wire.ReasonOutputTooLarge, "21 bytes of JSON, at most 20"},
		{"gone", "S1", exit{lost: true}, "", wire.ReasonError, "the interpreter that ran the step has ended"},
	}
	for _, test := range cases {
		output, failure := harnessVerdict([]byte(test.said), test.end, &wire.Assignment{OutputBytes: 20, Agent: strings.HasPrefix(test.name, "an agent")})
		switch {
		case string(output) != test.output || (failure == nil) != (test.reason == ""):
			t.Errorf("%s: %q, %v", test.name, output, failure)
		case failure != nil && (failure.Reason != test.reason || !strings.Contains(failure.Message, test.message)):
			t.Errorf("%s: %v", test.name, failure)
		}
	}
}

func TestAHarnessHasSaidAllWithTheEndOfItsJSON(t *testing.T) {
	for said, want := range map[string]bool{
		"": false, "S": false, `S"yes"`: true, `S"ye`: false, `S{"a":[1`: false, "Snull": true, `F{"reason":"Error"}`: true, `F{"rea`: false, `X1`: false,
	} {
		if found := isWhole([]byte(said)); found != want {
			t.Errorf("%q: found %v", said, found)
		}
	}
}

func TestTheTreeOutsideAContainerIsTheDescendantsOnly(t *testing.T) {
	command := exec.Command("sh", "-c", "sleep 71 & sleep 71 & echo ready; wait")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	go command.Wait() // the reaper's part
	mine := tree{self: os.Getpid()}
	pids, err := mine.pids()
	if err != nil || len(pids) != 3 {
		t.Fatalf("found %v, %v", pids, err)
	}
	if err := mine.clear(); err != nil {
		t.Error(err)
	}
}

func TestCounter(t *testing.T) {
	for text, want := range map[string]int{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n":        3,
		"low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group 0": 1,
	} {
		if got, found := counter(text, "oom_kill"); got != want || !found {
			t.Errorf("%q: %d, %v", text, got, found)
		}
	}
	if _, found := counter("oom 1\n", "oom_kill"); found {
		t.Error("found what is not there")
	}
}

func TestACommandThatIsNotThereIsNamed(t *testing.T) {
	processes, err := newReaper()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"no-such-program"}, {"keep", "--"}, {"keep", "--", "no-such-program"}} {
		_, err := startInterpreter(processes, nil, command, os.TempDir())
		if err == nil || !strings.Contains(err.Error(), "the harness cannot start") {
			t.Errorf("%q: %v", command, err)
		}
	}
}
