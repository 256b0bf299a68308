package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"syscall"
)

// What a harness says of an attempt before it runs any code of it.
const (
	serves  = 'K' // the process takes other attempts after this one
	isLast  = 'L' // it is its last, and nothing but its end ends the attempt
	refuses = 'N' // the attempt needs a process that has taken none
)

// kept is one process. Descriptors: 1 stdout, 2 stderr, 3 requests, 4 answers, 5 a file for a program.
type kept struct {
	pid      int
	ended    <-chan syscall.WaitStatus
	requests *os.File
	answers  *os.File
	program  *os.File
	printed  [2]*os.File

	mu    sync.Mutex
	sinks [2]*os.File // where it prints to: pipes of the attempt that runs
	quiet [2]bool     // it cannot print any more
}

// forward gives what the process prints to the attempt that runs, to its end.
func (p *kept) forward(stream int) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := p.printed[stream].Read(buffer)
		p.mu.Lock()
		sink := p.sinks[stream]
		p.mu.Unlock()
		if n > 0 && sink != nil {
			sink.Write(buffer[:n])
		}
		if err != nil {
			p.printed[stream].Close()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.quiet[stream] = true
			if sink := p.sinks[stream]; sink != nil {
				sink.Close()
			}
			return
		}
	}
}

// print sets where the process prints to, and tells where it did.
func (p *kept) print(sinks [2]*os.File) [2]*os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.sinks
	p.sinks = sinks
	for i, sink := range sinks {
		if p.quiet[i] && sink != nil {
			sink.Close()
		}
	}
	return before
}

// ask writes the request and the program. A process that ends without reading closes the pipe.
func (p *kept) ask(request, program []byte) {
	for _, part := range [][]byte{request, program} {
		if _, err := p.requests.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part)))); err != nil {
			return
		}
		if _, err := p.requests.Write(part); err != nil {
			return
		}
	}
}

// frames hands on what an attempt prints and its result; false when the process does not serve on.
func (p *kept) frames(answers *bufio.Reader, theirs [3]*os.File) bool {
	for {
		var head [5]byte
		if _, err := io.ReadFull(answers, head[:]); err != nil {
			return false
		}
		size := int64(binary.BigEndian.Uint32(head[1:]))
		switch kind := head[0]; kind {
		case 'O':
			io.CopyN(theirs[0], answers, size)
		case 'E':
			io.CopyN(theirs[1], answers, size)
		case 'S', 'F', 's', 'f':
			theirs[2].Write([]byte{kind &^ 0x20})
			io.CopyN(theirs[2], answers, size)
			return kind < 'a'
		default:
			syscall.Kill(p.pid, syscall.SIGKILL) // it does not speak as a harness
			return false
		}
	}
}
