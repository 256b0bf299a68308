package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Wanted is what a program must define.
const Wanted = "expected func Main(ctx context.Context, in In) (Out, error)"

// Signature tells what is wrong with the type of Main; nothing, when it can be called. The context, the input, the
// output and the error may each be left out.
func Signature(main reflect.Type) string {
	if main.Kind() != reflect.Func {
		return fmt.Sprintf("Main is a %s, %s", main.Kind(), Wanted)
	}
	inputs, outputs := main.NumIn(), main.NumOut()
	if inputs > 0 && main.In(0) == contextType {
		inputs--
	}
	if outputs > 0 && main.Out(outputs-1) == errorType {
		outputs--
	}
	if inputs > 1 || outputs > 1 || main.IsVariadic() {
		return fmt.Sprintf("found %s, %s", main, Wanted)
	}
	return ""
}

// arguments are what Main is called with. Numbers that go to `any` stay what they are: json.Number.
func arguments(ctx context.Context, main reflect.Type, r *request) ([]reflect.Value, *Failure) {
	var values []reflect.Value
	for i := range main.NumIn() {
		if main.In(i) == contextType {
			values = append(values, reflect.ValueOf(ctx))
			continue
		}
		in := reflect.New(main.In(i))
		input := r.Input
		if len(input) == 0 || string(input) == "null" {
			input = []byte("{}")
		}
		decoder := json.NewDecoder(bytes.NewReader(input))
		decoder.UseNumber()
		if err := decoder.Decode(in.Interface()); err != nil {
			return nil, &Failure{Reason: failed, Message: fmt.Sprintf("step %s: %s", r.Step, misfit(err))}
		}
		values = append(values, in.Elem())
	}
	return values, nil
}

// misfit says which argument does not fit its type.
func misfit(err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		return fmt.Sprintf("with.%s: found %s, expected what fits the type %s", mismatch.Field, mismatch.Value, mismatch.Type)
	}
	return fmt.Sprintf("the arguments do not fit the parameter of Main: %v", err)
}

// encode is the JSON of an output. encoding/json writes the replacement character for bytes that are no UTF-8, and
// then as an escape, which it does for nothing else: such a string is refused.
func encode(value any) (output []byte, failure *Failure) {
	defer func() {
		if problem := recover(); problem != nil {
			output, failure = nil, &Failure{Reason: invalidOutput, Message: fmt.Sprintf("the output cannot be encoded: %v", problem)}
		}
	}()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, &Failure{Reason: invalidOutput, Message: fmt.Sprintf("the output is not JSON: %v", err)}
	}
	output = bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if bytes.Contains(output, []byte(`\ufffd`)) {
		for i := 0; i+6 <= len(output); i++ {
			if output[i] != '\\' {
				continue
			}
			if string(output[i:i+6]) == `\ufffd` {
				return nil, &Failure{Reason: invalidOutput, Message: "the output has a string that is not valid UTF-8, which JSON cannot hold: expected base64 of it, as []byte gives"}
			}
			i++ // an escaped backslash is no beginning
		}
	}
	return output, nil
}
