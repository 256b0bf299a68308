// Package step is linked into every program of the runtime `go`: it runs one attempt of one step, which is one process.
//
// The shim starts the program with descriptors 1 stdout, 2 stderr, 3 request (JSON, read to its end) and 4 result: `S`
// and the output's JSON, or `F` and a failure's JSON. What the runtime of Go itself ends the process for, as a panic in
// another goroutine, it reports there too. The package must never keep anything beyond the process.
package step

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strconv"
	"syscall"
)

const (
	requestDescriptor = 3
	resultDescriptor  = 4
	brokenRequest     = 70
	maxStack          = 64 << 20 // more than any step needs, and less than a sandbox has
)

// request is what a step needs of its assignment.
type request struct {
	Step    string          `json:"step"`
	Attempt int             `json:"attempt"`
	Input   json.RawMessage `json:"input"`
	Env     []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// result is where the end of the attempt is told.
var result = os.NewFile(resultDescriptor, "result")

// init comes before that of the step's own package, which may crash.
func init() {
	syscall.CloseOnExec(requestDescriptor)
	syscall.CloseOnExec(resultDescriptor)
	debug.SetMaxStack(maxStack)
	debug.SetCrashOutput(result, debug.CrashOptions{}) // without it the shim says the exit code
}

// Run runs the step's Main, writes how it ended, and ends the process. It is the whole main function of a program.
func Run(main any) {
	r, err := receive()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		os.Exit(brokenRequest)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancelled := make(chan os.Signal, 1)
	signal.Notify(cancelled, syscall.SIGTERM)
	go func() { // a cancellation: Main has the grace to end in its own way
		<-cancelled
		cancel()
	}()
	output, failure := attempt(ctx, reflect.ValueOf(main), r)
	body := append([]byte{'S'}, output...)
	if failure != nil {
		if body, err = json.Marshal(failure); err != nil {
			body = []byte(`{"reason": "Error", "message": "the failure cannot be told"}`)
		}
		body = append([]byte{'F'}, body...)
	}
	result.Write(body) // a shim that is gone needs no result
	os.Exit(0)
}

// receive reads the request and gives the process the step's environment.
func receive() (*request, error) {
	data, err := io.ReadAll(os.NewFile(requestDescriptor, "request"))
	if err != nil {
		return nil, err
	}
	r := &request{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	for _, variable := range r.Env {
		os.Setenv(variable.Name, variable.Value)
	}
	os.Setenv("CITADEL_STEP", r.Step)
	os.Setenv("CITADEL_ATTEMPT", strconv.Itoa(r.Attempt))
	os.Args = []string{r.Step}
	return r, nil
}

// attempt calls Main with the input, and encodes what it returns.
func attempt(ctx context.Context, main reflect.Value, r *request) ([]byte, *Failure) {
	if problem := Signature(main.Type()); problem != "" {
		return nil, &Failure{Reason: invalidCode, Message: fmt.Sprintf("step %s: %s", r.Step, problem)}
	}
	arguments, failure := arguments(ctx, main.Type(), r)
	if failure != nil {
		return nil, failure
	}
	returned, failure := call(main, arguments, r.Step)
	if failure != nil {
		return nil, failure
	}
	if last := len(returned) - 1; last >= 0 && returned[last].Type() == errorType {
		if err, failed := returned[last].Interface().(error); failed {
			return nil, returnedError(err)
		}
		returned = returned[:last]
	}
	if len(returned) == 0 {
		return []byte("null"), nil
	}
	return encode(returned[0].Interface())
}

// call calls Main in a goroutine of its own, so that runtime.Goexit is seen too.
func call(main reflect.Value, arguments []reflect.Value, step string) (returned []reflect.Value, failure *Failure) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		finished := false
		defer func() {
			if finished {
				return
			}
			if value := recover(); value != nil {
				failure = panicked(value, step)
			} else {
				failure = &Failure{Reason: failed, Message: "Main ended its goroutine by runtime.Goexit"}
			}
		}()
		returned = main.Call(arguments)
		finished = true
	}()
	<-ended
	return returned, failure
}
