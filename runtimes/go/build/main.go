// The program build compiles the source of one step of the runtime `go`, in a sandbox that runs nothing else.
//
// It is started with the directory of what can be imported (see ../precompile), and descriptors 3 request (JSON, read to
// its end), 4 result (`S`, or `F` and a failure's JSON) and 5, the file that takes the program. The source is hostile: it is only
// ever read by Go's parser, compiler and linker, which run no code of it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"citadel.dev/go/step"
)

const (
	requestDescriptor = 3
	resultDescriptor  = 4
	programDescriptor = 5
)

// entry is the rest of the program, beside the step's own file.
const entry = "package main\n\nimport citadel_step \"citadel.dev/go/step\"\n\nfunc main() { citadel_step.Run(Main) }\n"

const entryFile = "entry.go"

// hiddenSuffix: the step load is built by the hidden step load.build.
const hiddenSuffix = ".build"

// maxProgram is the most that a program may have in bytes.
const maxProgram = 64 << 20

func main() {
	failure, err := serve(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	result := os.NewFile(resultDescriptor, "result")
	if failure == nil {
		_, err = result.Write([]byte("Snull"))
	} else {
		var body []byte
		if body, err = json.Marshal(failure); err == nil {
			_, err = result.Write(append([]byte{'F'}, body...))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// serve compiles what the request holds. The failure is the step's, the error is not.
func serve(arguments []string) (*step.Failure, error) {
	if len(arguments) != 1 {
		return nil, fmt.Errorf("found %d arguments, expected the directory of what can be imported", len(arguments))
	}
	for _, descriptor := range []int{requestDescriptor, resultDescriptor, programDescriptor} {
		syscall.CloseOnExec(descriptor)
	}
	data, err := io.ReadAll(os.NewFile(requestDescriptor, "request"))
	if err != nil {
		return nil, err
	}
	var request struct {
		Step string `json:"step"`
		Code string `json:"code"`
	}
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	directory, err := os.MkdirTemp("", "build")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(directory)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b := builder{ctx: ctx, kit: arguments[0], directory: directory, step: strings.TrimSuffix(request.Step, hiddenSuffix), source: request.Code}
	return b.build()
}

// builder compiles one step.
type builder struct {
	ctx       context.Context
	kit       string
	directory string
	step      string
	source    string
}

// build writes the program to its descriptor.
func (b *builder) build() (*step.Failure, error) {
	importable, err := readImportable(filepath.Join(b.kit, "importcfg"))
	if err != nil {
		return nil, err
	}
	modules, err := newVendored(b, importable)
	if err != nil {
		return nil, err
	}
	var wanted []string
	problems := inspect(b.source, func(name string) bool {
		if !importable[name] && modules.has(name) {
			wanted = append(wanted, name)
			return true
		}
		return importable[name]
	})
	if len(problems) > 0 {
		return b.invalid(problems), nil
	}
	for _, name := range wanted {
		if err := modules.compile(name); err != nil {
			return b.invalid([]problem{{message: err.Error()}}), nil
		}
	}
	for name, text := range map[string]string{step.SourceFile: b.source, entryFile: entry} {
		if err := os.WriteFile(filepath.Join(b.directory, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	configuration, err := modules.configuration()
	if err != nil {
		return nil, err
	}
	said, err := b.tool("compile", "-o", "main.a", "-p", "main", "-complete", "-pack", "-c=2", "-e",
		"-importcfg", configuration, "-trimpath", b.directory, step.SourceFile, entryFile)
	if err != nil {
		return b.refused(said, err), nil
	}
	said, err = b.tool("link", "-o", "program", "-importcfg", configuration, "-buildmode=exe", "-s", "-w", "-buildid=", "main.a")
	if err != nil {
		return b.refused(said, err), nil
	}
	return b.deliver(filepath.Join(b.directory, "program"))
}

// tool runs the compiler or the linker: what they say, and their error.
func (b *builder) tool(name string, arguments ...string) (string, error) {
	command := exec.CommandContext(b.ctx, filepath.Join(b.kit, name), arguments...)
	command.Dir = b.directory
	command.Env = []string{"TMPDIR=" + b.directory, "PWD=" + b.directory, "PATH=/usr/bin:/bin"}
	said := &bounded{}
	command.Stdout, command.Stderr = said, said
	err := command.Run()
	return said.text.String(), err
}

// deliver copies the program to the file of the shim.
func (b *builder) deliver(path string) (*step.Failure, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxProgram {
		return b.invalid([]problem{{message: fmt.Sprintf("the program has %d bytes, at most %d are allowed", info.Size(), maxProgram)}}), nil
	}
	_, err = io.Copy(os.NewFile(programDescriptor, "program"), file)
	return nil, err
}

// maxSaid is how much of what a tool says is kept.
const maxSaid = 1 << 20

// bounded keeps the beginning of what is written to it.
type bounded struct{ text strings.Builder }

func (b *bounded) Write(data []byte) (int, error) {
	if room := maxSaid - b.text.Len(); room > 0 {
		b.text.Write(data[:min(room, len(data))])
	}
	return len(data), nil
}
