package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"citadel.dev/go/step"
)

// maxProblems is how many a person is shown.
const maxProblems = 20

// problem is one that the source has; without a line it is the whole file's.
type problem struct {
	line, column int
	message      string
}

// where and what of a line that compiler or linker say.
var said = regexp.MustCompile(`^(?:\./)?` + regexp.QuoteMeta(step.SourceFile) + `:(\d+)(?::(\d+))?: (.*)$`)

// what they say of the rest of the program, whose lines are nobody's business.
var entrySaid = regexp.MustCompile(`^(?:\./)?` + regexp.QuoteMeta(entryFile) + `:[\d:]+ (.*)$`)

// refused is the failure of a source that compiler or linker refuse.
func (b *builder) refused(text string, err error) *step.Failure {
	if b.ctx.Err() != nil {
		return &step.Failure{Reason: "Error", Message: fmt.Sprintf("step %s: the build was cancelled", b.step)}
	}
	var found []problem
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if parts := said.FindStringSubmatch(line); parts != nil {
			number, _ := strconv.Atoi(parts[1])
			column, _ := strconv.Atoi(parts[2])
			found = append(found, problem{number, column, parts[3]})
		} else if parts := entrySaid.FindStringSubmatch(line); parts != nil {
			found = append(found, problem{message: parts[1]})
		} else if last := len(found) - 1; last >= 0 && strings.HasPrefix(line, "\t") {
			found[last].message += "\n" + line
		}
	}
	if len(found) == 0 { // it says nothing of a line, as when it has no memory
		found = []problem{{message: fmt.Sprintf("it cannot be compiled (%v): %s", err, beginning(text))}}
	}
	return b.invalid(found)
}

// invalid is the failure of a source with these problems, which are in the order of their lines.
func (b *builder) invalid(found []problem) *step.Failure {
	lines := strings.Split(b.source, "\n")
	first := found[0]
	failure := &step.Failure{Reason: "InvalidCode", Message: fmt.Sprintf("step %s: %s", b.step, first.message)}
	if first.line > 0 {
		failure.Message = fmt.Sprintf("step %s, line %d, column %d: %s", b.step, first.line, first.column, first.message)
	}
	for i, each := range found {
		if i == maxProblems {
			failure.Traceback = append(failure.Traceback, fmt.Sprintf("and %d more", len(found)-maxProblems))
			break
		}
		if each.line == 0 {
			continue
		}
		shown := fmt.Sprintf("    at %s.go:%d:%d: %s", b.step, each.line, each.column, each.message)
		failure.Traceback = append(failure.Traceback, strings.Split(shown, "\n")...)
		if each.line <= len(lines) {
			failure.Traceback = append(failure.Traceback, "        "+strings.TrimSpace(lines[each.line-1]))
		}
	}
	return failure
}

// beginning is the first line of what a tool said, without places of the build itself.
func beginning(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return "the compiler said nothing"
	}
	return line
}
