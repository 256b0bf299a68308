package main

import (
	"reflect"
	"testing"
)

func TestWhatTheRuntimeOfGoReportsOfACrashIsAFailureWithTheLinesOfTheStep(t *testing.T) {
	const stack = "goroutine 7 [running]:\nmain.(*table).load(...)\n\tstep.go:9\nmain.Main.func1({0xc000012345, 0x1})\n\tstep.go:6 +0x28\n" +
		"runtime.goexit()\n\truntime/asm_amd64.s:1700 +0x1\ncreated by main.Main in goroutine 1\n\tstep.go:4 +0x1a\n\ngoroutine 1 [sleep]:\nmain.Main()\n\tstep.go:77 +0x1\n"
	traceback := []string{"    at main.(*table).load (load.go:9)", "    at main.Main.func1 (load.go:6)", "    at main.Main (load.go:4)"}
	for report, message := range map[string]string{
		"panic: boom\n\n" + stack: "panic: boom",
		"\nruntime stack:\nruntime.throw({0x1, 0x2})\n\truntime/panic.go:1 +0x1\nruntime.newstack()\n\truntime/stack.go:1 +0x1\n\n" + stack: "fatal error: stack overflow",
		"\n" + stack: "fatal error of the runtime of Go, which the log names",
	} {
		if !isCrash([]byte(report)) {
			t.Errorf("%.20q is no crash", report)
		}
		if failure := crashed(report, "load"); failure.Message != message || !reflect.DeepEqual(failure.Traceback, traceback) {
			t.Errorf("%.20q: %q, %q", report, failure.Message, failure.Traceback)
		}
	}
	for _, said := range []string{"", "S1", "F{}", "X", "panic", "Spanic: x"} {
		if isCrash([]byte(said)) {
			t.Errorf("%q is a crash", said)
		}
	}
}
