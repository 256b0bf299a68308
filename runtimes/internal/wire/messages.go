package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Assignment is one attempt of one step, as the shim and the harness see it: sealed values are merged into Input.
type Assignment struct {
	Step           string          `json:"step"`
	Attempt        int             `json:"attempt"`
	Action         string          `json:"action"`
	Language       string          `json:"language,omitempty"`
	Code           string          `json:"code,omitempty"`
	Entrypoint     string          `json:"entrypoint,omitempty"` // module:function of the image, instead of Code
	Agent          bool            `json:"agent,omitempty"`      // whether it has a model and tools
	Command        []string        `json:"command,omitempty"`
	Args           []string        `json:"args,omitempty"`
	Env            []EnvVar        `json:"env,omitempty"`
	TimeoutSeconds *float64        `json:"timeoutSeconds,omitempty"`
	OutputBytes    int             `json:"outputBytes"`
	Input          json.RawMessage `json:"input"`
	// Exclusive: the sandbox takes no other attempt.
	Exclusive bool `json:"exclusive"`
	// Program is what a build made of Code: a language that is compiled runs it.
	Program *Content `json:"program,omitempty"`
	// Files are texts by their absolute paths.
	Files     map[string]string `json:"files,omitempty"`
	Artifacts *Artifacts        `json:"artifacts,omitempty"`
}

// Artifacts are files and trees that an attempt takes, and those that it leaves.
type Artifacts struct {
	In  []Taken `json:"in,omitempty"`
	Out []Left  `json:"out,omitempty"`
}

// Taken is what is to stand at a path before the attempt begins.
type Taken struct {
	Path string `json:"path"`
	Content
}

// Left is what stands at a path when the attempt has succeeded.
type Left struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// Content names a blob by the digest of its bytes, `sha256:` and hexadecimal digits.
type Content struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// EnvVar is one variable of a step's environment.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// The actions of an assignment.
const (
	ActionRun       = "run"
	ActionContainer = "container"
	// ActionBuild compiles Code: its result is the blob ArtifactPrefix + ProgramName.
	ActionBuild = "build"
)

// Hello is the shim's first frame.
type Hello struct {
	Version string `json:"version"`
	Runtime bool   `json:"runtime"` // whether it was given a harness
	Warms   bool   `json:"warms"`   // whether a frame Warm follows, when what attempts need is loaded
}

// Cancel asks the shim to end an attempt: SIGTERM, and after GraceSeconds SIGKILL.
type Cancel struct {
	Step         string  `json:"step"`
	Attempt      int     `json:"attempt"`
	GraceSeconds float64 `json:"graceSeconds"`
}

// Outcome is the first byte of a result frame. Lower case: the sandbox ends with this result and takes no other step.
type Outcome byte

// The outcomes of an attempt.
const (
	Succeeded     Outcome = 'S'
	Failed        Outcome = 'F'
	LastSucceeded Outcome = 's'
	LastFailed    Outcome = 'f'
)

// Last is the same outcome, saying that the sandbox ends.
func (o Outcome) Last() Outcome { return o | 0x20 }

// IsLast tells whether the sandbox ends with this result.
func (o Outcome) IsLast() bool { return o&0x20 != 0 }

// IsSuccess tells whether the payload is an output (else a failure).
func (o Outcome) IsSuccess() bool { return o|0x20 == LastSucceeded }

// Valid tells whether the byte is one of the four.
func (o Outcome) Valid() bool { return o|0x20 == LastSucceeded || o|0x20 == LastFailed }

// Reason is why an attempt failed.
type Reason string

// The reasons that a runner gives.
const (
	ReasonError         Reason = "Error"
	ReasonTimeout       Reason = "Timeout"
	ReasonOOMKilled     Reason = "OOMKilled"
	ReasonInvalidCode   Reason = "InvalidCode"
	ReasonInvalidOutput Reason = "InvalidOutput"
	ReasonCancelled     Reason = "Cancelled"
	// ReasonOutputTooLarge: the output is more JSON than is kept.
	ReasonOutputTooLarge Reason = "OutputTooLarge"
	// ReasonArtifactTooLarge: a file or tree is larger than what is kept.
	ReasonArtifactTooLarge Reason = "ArtifactTooLarge"
)

// Bounds of a failure: what a person reads, not an archive.
const (
	maxMessageBytes   = 4096
	maxTracebackLines = 100
	maxTracebackBytes = 1024 // a line
)

// Failure says why an attempt failed.
type Failure struct {
	Reason    Reason   `json:"reason"`
	Message   string   `json:"message"`
	Traceback []string `json:"traceback,omitempty"`
	ExitCode  *int     `json:"exitCode,omitempty"`
	LogTail   string   `json:"logTail,omitempty"`
}

// Failf makes a failure of a reason and a formatted message.
func Failf(reason Reason, format string, args ...any) *Failure {
	return &Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// agentReasons are those that an agent passes on from the gateways, which check them.
var agentReasons = []Reason{
	"BudgetExceeded", "HostNotAllowed", "ModelError", "ModelNotFound", "ModelUnavailable", "RateLimited",
	"ReplayMismatch", "SecretForbidden", "SecretNotFound", "Timeout", "ToolLimitExceeded", "TurnLimitExceeded",
}

// ParseFailure reads the failure that a harness wrote. User code may have written it: the reason is confined to what
// a harness may claim, and every part to its bound.
func ParseFailure(data []byte, agent bool) (*Failure, error) {
	var failure Failure
	if err := json.Unmarshal(data, &failure); err != nil {
		return nil, err
	}
	switch failure.Reason {
	case ReasonError, ReasonInvalidCode, ReasonInvalidOutput, ReasonOutputTooLarge, ReasonOOMKilled:
	default:
		if !agent || !slices.Contains(agentReasons, failure.Reason) {
			failure.Reason = ReasonError
		}
	}
	failure.LogTail = ""
	return failure.Bounded(), nil
}

// Bounded is the failure with NUL removed and every part cut to its bound.
func (f *Failure) Bounded() *Failure {
	bounded := *f
	bounded.Message = cut(f.Message, maxMessageBytes)
	lines := f.Traceback
	if len(lines) > maxTracebackLines {
		lines = lines[len(lines)-maxTracebackLines:]
	}
	bounded.Traceback = make([]string, len(lines))
	for i, line := range lines {
		bounded.Traceback[i] = cut(line, maxTracebackBytes)
	}
	return &bounded
}

func cut(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Marshal is JSON without the HTML escapes that encoding/json adds by default.
func Marshal(value any) ([]byte, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(text.String(), "\n")), nil
}

// Seconds is a duration of seconds as JSON has it, at most ten years.
func Seconds(value float64) time.Duration {
	const most = 10 * 365 * 24 * 3600
	return time.Duration(max(0, min(value, most)) * float64(time.Second))
}
