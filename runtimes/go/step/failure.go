package step

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// The reasons that a step may give.
const (
	failed        = "Error"
	invalidCode   = "InvalidCode"
	invalidOutput = "InvalidOutput"
)

// SourceFile is the name under which every step is compiled: steps with the same code share a program. People see the
// step's own name instead.
const SourceFile = "step.go"

// maxFrames is more than a failure holds.
const maxFrames = 100

// Failure says why an attempt failed, as the protocol wants it.
type Failure struct {
	Reason    string   `json:"reason"`
	Message   string   `json:"message"`
	Traceback []string `json:"traceback,omitempty"`
}

// returnedError is the failure of an error that Main returned. Errors in Go know no lines.
func returnedError(err error) *Failure {
	return &Failure{Reason: failed, Message: text(err)}
}

// panicked is the failure of a panic that nobody recovered, with the frames of the step's own code. Call it from the
// function that recovers.
func panicked(value any, step string) *Failure {
	failure := &Failure{Reason: failed, Message: "panic: " + text(value)}
	counters := make([]uintptr, maxFrames)
	frames := runtime.CallersFrames(counters[:runtime.Callers(1, counters)])
	for {
		frame, more := frames.Next()
		if path.Base(frame.File) == SourceFile && strings.HasPrefix(frame.Function, "main.") {
			failure.Traceback = append(failure.Traceback, fmt.Sprintf("    at %s (%s.go:%d)", frame.Function, step, frame.Line))
		}
		if !more {
			return failure
		}
	}
}

// text is what a value says of itself; its methods are the step's own, and may panic.
func text(value any) (said string) {
	defer func() {
		if recover() != nil {
			said = fmt.Sprintf("a %T that cannot be shown", value)
		}
	}()
	switch value := value.(type) {
	case error:
		return value.Error()
	case fmt.Stringer:
		return value.String()
	case string:
		return value
	default:
		return fmt.Sprintf("%#v", value)
	}
}
