package main

import (
	"io"
	"os"
	"sync"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

const (
	// drainWithin is how long the pipes may take to close when no process is left.
	drainWithin = 5 * time.Second
	// failureBytes is room for a harness's failure beside an output.
	failureBytes = 256 << 10
)

// capture holds the pipes of one attempt.
type capture struct {
	stdout, stderr, result *os.File // the program's ends
	ours                   [3]*os.File
	readers                sync.WaitGroup
	over                   chan struct{} // closed when everything was read
	said                   []byte        // the result, complete after drain
	buffers                [2][]byte     // for frames of stdout and stderr
}

// newCapture opens the pipes.
func newCapture() (*capture, error) {
	c := &capture{}
	for i := range c.buffers {
		c.buffers[i] = make([]byte, wire.HeaderSize+64<<10)
	}
	for i, theirs := range []**os.File{&c.stdout, &c.stderr, &c.result} {
		reading, writing, err := os.Pipe()
		if err != nil {
			c.close()
			return nil, err
		}
		c.ours[i], *theirs = reading, writing
	}
	return c, nil
}

// follow starts to forward what comes; of a result it keeps what may be one.
func (c *capture) follow(out *wire.Writer, outputBytes int) {
	c.readers.Add(3)
	c.over = make(chan struct{})
	go c.forward(c.ours[0], c.buffers[0], out, wire.KindStdout)
	go c.forward(c.ours[1], c.buffers[1], out, wire.KindStderr)
	go func() {
		defer c.readers.Done()
		c.said, _ = io.ReadAll(io.LimitReader(c.ours[2], int64(outputBytes+failureBytes)))
		io.Copy(io.Discard, c.ours[2])
	}()
	go func() {
		c.readers.Wait()
		close(c.over)
	}()
}

func (c *capture) forward(from *os.File, buffer []byte, out *wire.Writer, kind wire.Kind) {
	defer c.readers.Done()
	for {
		n, err := from.Read(buffer[wire.HeaderSize:])
		if n > 0 && out.WriteInPlace(kind, buffer[:wire.HeaderSize+n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// started closes our copies of the program's ends.
func (c *capture) started() {
	for _, file := range []*os.File{c.stdout, c.stderr, c.result} {
		file.Close()
	}
}

// drain waits until everything printed is forwarded, and tells whether the pipes have closed.
func (c *capture) drain() bool {
	select {
	case <-c.over:
		return true
	case <-time.After(drainWithin):
		c.close()
		<-c.over
		return false
	}
}

func (c *capture) close() {
	for _, file := range []*os.File{c.ours[0], c.ours[1], c.ours[2], c.stdout, c.stderr, c.result} {
		if file != nil {
			file.Close()
		}
	}
}
