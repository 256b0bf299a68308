package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// pretends is set for the process that plays a harness: this test's own program, started once more.
const pretends = "SHIM_TEST_HARNESS"

func TestMain(m *testing.M) {
	if os.Getenv(pretends) != "" {
		pretend()
		return
	}
	if os.Getenv(servesAlone) != "" {
		p, err := placesFromEnvironment()
		if err != nil || serve(p, os.Args[1:]) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// pretend does what each request's code says: first its word, then the rest of the answer. `=` is the process's pid.
func pretend() {
	requests, answers := os.NewFile(3, "requests"), os.NewFile(4, "answers")
	read := func() []byte {
		size := make([]byte, 4)
		if _, err := io.ReadFull(requests, size); err != nil {
			os.Exit(0)
		}
		data := make([]byte, binary.BigEndian.Uint32(size))
		io.ReadFull(requests, data)
		return data
	}
	for served := false; ; served = true {
		var a wire.Assignment
		json.Unmarshal(read(), &a)
		program := read()
		text := strings.ReplaceAll(strings.ReplaceAll(a.Code, "=", fmt.Sprint(os.Getpid())), "%", string(program))
		word := text[0]
		if word == 'N' && !served {
			word = 'L'
		}
		answers.Write([]byte{word})
		switch word {
		case 'K':
			for _, frame := range strings.Split(text[1:], "|") {
				answers.Write(append(binary.BigEndian.AppendUint32([]byte{frame[0]}, uint32(len(frame)-1)), frame[1:]...))
				if strings.ContainsRune("sf", rune(frame[0])) {
					os.Exit(0)
				}
			}
		case 'L':
			fmt.Print("printed")
			answers.WriteString(text[1:])
			os.Exit(len(text) % 7)
		default:
			time.Sleep(time.Minute) // it is ended
		}
	}
}

// onlyReaper collects all children: a second one would take those of the first.
var onlyReaper = sync.OnceValues(newReaper)

// keeper starts the harness that this program plays, and says an attempt of it: what it printed, said, and its end.
func keeper(t *testing.T) (*keeping, func(code string) (printed, said string, end exit)) {
	t.Helper()
	t.Setenv(pretends, "yes")
	processes, err := onlyReaper()
	if err != nil {
		t.Fatal(err)
	}
	known := &programs{}
	known.take([]byte("program"))
	known.take(nil)
	k, err := newKeeping(processes, known, []string{os.Args[0]}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := (tree{self: os.Getpid()}).clear(); err != nil {
			t.Error(err)
		}
	})
	return k, func(code string) (string, string, exit) {
		a := &wire.Assignment{Action: wire.ActionRun, Code: code, Program: &wire.Content{Digest: known.kept[0].digest, Size: 7}}
		request, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		streams, err := k.streams()
		if err != nil {
			t.Fatal(err)
		}
		defer streams.close()
		var frames strings.Builder
		streams.follow(wire.NewWriter(&frames), 1<<20)
		ended, err := k.run(a, request, streams)
		streams.started()
		if err != nil {
			t.Fatal(err)
		}
		end := <-ended
		if !streams.drain() {
			t.Fatal("the pipes do not close")
		}
		if err := k.prepare(); err != nil {
			t.Fatal(err)
		}
		return frames.String(), string(streams.said), end
	}
}

func TestAProcessThatProvesToBeCleanServesOnAndIsSpared(t *testing.T) {
	k, attempt := keeper(t)
	if k.spare() != 0 {
		t.Error("a process that has served none is spared")
	}
	printed, first, end := attempt("KOhello|Ebad|S[\"=\",\"%\"]")
	if !strings.Contains(printed, "hello") || !strings.Contains(printed, "bad") || end.code != 0 {
		t.Errorf("%q, %v", printed, end)
	}
	if want := fmt.Sprintf(`S["%d","program"]`, k.spare()); first != want {
		t.Errorf("%q, expected %q", first, want)
	}
	if _, second, _ := attempt("KS[\"=\",\"%\"]"); second != first {
		t.Errorf("another process took the second attempt: %q, %q", first, second)
	}
}

func TestAProcessThatIsNotCleanIsReplaced(t *testing.T) {
	k, attempt := keeper(t)
	seen := map[string]bool{}
	for _, code := range []string{"Ks=", "Kf=", "LS=", "KS="} {
		_, said, _ := attempt(code)
		if seen[said[1:]] || (k.spare() != 0) != (code == "KS=") {
			t.Errorf("%s: %q, spared %d, after %v", code, said, k.spare(), seen)
		}
		seen[said[1:]] = true
	}
}

func TestAnAttemptThatNeedsAProcessOfItsOwnGetsOne(t *testing.T) {
	_, attempt := keeper(t)
	_, first, _ := attempt("KS=")
	printed, second, end := attempt("NS=") // in the new process it is the last
	if second == first || !strings.HasPrefix(second, "S") || !strings.Contains(printed, "printed") || end.lost {
		t.Errorf("%q after %q, printed %q, %v", second, first, printed, end)
	}
}

func TestAProcessThatEndsInTheMidstOfAnAttemptIsAnEndAndOneThatWaitedIsReplaced(t *testing.T) {
	k, attempt := keeper(t)
	for _, code := range []string{"Kx", "Z", "KOtext|x"} { // no such frame, no such word
		if _, said, end := attempt(code); said != "" || end.code != -9 {
			t.Errorf("%s: %q, %v", code, said, end)
		}
	}
	k.next.requests.Close() // it ends while it waits
	for deadline := time.Now().Add(10 * time.Second); len(k.next.ended) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the process does not end")
		}
	}
	if _, said, _ := attempt("KS1"); said != "S1" {
		t.Errorf("%q", said)
	}
}
