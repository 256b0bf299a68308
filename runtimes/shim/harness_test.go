package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// servesAlone is set for the process that plays a shim: this test's own program, started once more.
const servesAlone = "SHIM_TEST_SERVES"

// speaking starts a harness that says what a shell's printf makes of text, and stays.
func speaking(t *testing.T, text string) *harness {
	t.Helper()
	processes := &reaper{waiting: map[int]chan syscall.WaitStatus{}} // one that collects nobody else's children
	h, err := startHarness(processes, []string{"sh", "-c", `printf "$1" >&3; read -r _ <&3`, "sh", text}, os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.socket.Close() })
	return h
}

// ended is the next exit that a harness told of.
func ended(t *testing.T, h *harness) exit {
	t.Helper()
	select {
	case end, known := <-h.ended:
		return endOf(end, known)
	case <-time.After(10 * time.Second):
		t.Fatal("the harness told nothing")
		return exit{}
	}
}

func isReady(h *harness) bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}

func TestAHarnessIsReadyWhenItSaysSoAndThatIsNoEndOfAnAttempt(t *testing.T) {
	for _, test := range []struct {
		said  string
		ready bool
		code  int
	}{
		{`exited 3\n`, false, 3},
		{`ready\nexited 4\n`, true, 4},
		{`ready\nready\nexited 5\n`, true, 5}, // as no harness should
		{`readying\n`, false, 0},
	} {
		h := speaking(t, test.said)
		end := ended(t, h)
		if end.code != test.code || end.lost != (test.code == 0) || isReady(h) != test.ready {
			t.Errorf("%q: found %+v, ready %v", test.said, end, isReady(h))
		}
	}
}

// served starts a shim with this command, and returns what the runner hears of it. It is a process of its own, as it
// collects every child there is.
func served(t *testing.T, command ...string) (net.Conn, *wire.Reader) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	shim := exec.Command(os.Args[0], command...)
	shim.Env = append(os.Environ(), servesAlone+"=1", "CITADEL_SHIM_ADDRESS="+listener.Addr().String())
	for _, name := range []string{"CITADEL_WORK_DIR", "CITADEL_TMP_DIR", "CITADEL_DATA_DIR"} {
		shim.Env = append(shim.Env, name+"="+t.TempDir())
	}
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		shim.Process.Kill()
		shim.Wait()
	})
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn, wire.NewReader(conn, wire.MaxFrame)
}

// heard is the next frame, which is to be of this kind.
func heard(t *testing.T, frames *wire.Reader, kind wire.Kind) []byte {
	t.Helper()
	found, payload, err := frames.Next()
	if err != nil || found != kind {
		t.Fatalf("found the frame %q, %v, expected %q", found, err, kind)
	}
	return payload
}

func TestTheRunnerIsToldWhenNoAttemptNeedWait(t *testing.T) {
	gate := t.TempDir() + "/gate"
	conn, frames := served(t, "sh", "-c", `while [ ! -e "$1" ]; do sleep 0.01; done; printf 'ready\n' >&3; read -r _ <&3`, "sh", gate)
	var hello wire.Hello
	if err := json.Unmarshal(heard(t, frames, wire.KindHello), &hello); err != nil || !hello.Runtime || !hello.Warms {
		t.Fatalf("found %+v, %v, expected a runtime that warms", hello, err)
	}
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if kind, _, err := frames.Next(); err == nil {
		t.Fatalf("found the frame %q of a harness that is not ready", kind)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if payload := heard(t, frames, wire.KindWarm); len(payload) != 0 {
		t.Errorf("found %q, expected nothing in the frame", payload)
	}
}

func TestASandboxThatDoesNotForkDoesNotSayThatItWarms(t *testing.T) {
	_, frames := served(t)
	var hello wire.Hello
	if err := json.Unmarshal(heard(t, frames, wire.KindHello), &hello); err != nil || hello.Runtime || hello.Warms {
		t.Errorf("found %+v, %v, expected neither a runtime nor that it warms", hello, err)
	}
}
