package logs

import (
	"context"
	"sync"
	"time"

	"citadel.dev/runtimes/internal/mask"
)

const (
	// batchDelay is how long text waits for more, so that a print costs no request: what people still take for at once.
	batchDelay = 100 * time.Millisecond
	// requestBytes and requestChunks bound one request.
	requestBytes  = 256 << 10
	requestChunks = 1000
)

// Batch is one request to the gateway.
type Batch struct {
	Step    string  `json:"-"`
	Attempt int     `json:"-"`
	Chunks  []Chunk `json:"chunks"`
	Last    bool    `json:"last"`
}

// Chunk is a piece of a log on the wire.
type Chunk struct {
	N      int    `json:"n"`
	Stream string `json:"stream"`
	At     string `json:"at"`
	Text   string `json:"text"`
}

// Send hands a batch to the gateway and returns the number of the last chunk that is stored. It retries for itself; an
// error means that these chunks are not wanted.
type Send func(ctx context.Context, batch Batch) (stored int, err error)

// Shipper sends the logs of attempts one after another.
type Shipper struct {
	limits Limits
	send   Send

	mu      sync.Mutex
	logs    []*Log
	hurry   bool
	changed chan struct{} // closed and replaced at every change
}

// NewShipper makes a shipper; nothing is sent until Run.
func NewShipper(limits Limits, send Send) *Shipper {
	return &Shipper{limits: limits, send: send, changed: make(chan struct{})}
}

// Open starts the log of an attempt.
func (s *Shipper) Open(step string, attempt int, secrets *mask.Secrets) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := &Log{step: step, attempt: attempt, mu: &s.mu, wake: s.wake, limits: s.limits, streams: map[string]*stream{
		Stdout: {masking: secrets.Stream()}, Stderr: {masking: secrets.Stream()},
	}}
	s.logs = append(s.logs, opened)
	return opened
}

// Run sends until ctx ends.
func (s *Shipper) Run(ctx context.Context) {
	for {
		batch, source, wait, changed := s.take()
		if source == nil {
			if !pause(ctx, wait, changed) {
				return
			}
			continue
		}
		stored, err := s.send(ctx, batch)
		if ctx.Err() != nil {
			return
		}
		if !s.settle(source, batch, stored, err) && !pause(ctx, batchDelay, nil) {
			return
		}
	}
}

// Flush sends what is left without delay, and waits until the gateway has it or ctx ends.
func (s *Shipper) Flush(ctx context.Context) {
	s.mu.Lock()
	s.hurry = true
	s.wake()
	s.mu.Unlock()
	s.await(ctx, func() bool { return s.waiting() == 0 && s.open() == 0 })
}

// Below waits until less than limit bytes wait for the gateway: the next attempt starts only then.
func (s *Shipper) Below(ctx context.Context, limit int) {
	s.await(ctx, func() bool { return s.waiting() < limit })
}

func (s *Shipper) await(ctx context.Context, satisfied func() bool) {
	for {
		s.mu.Lock()
		ok, changed := satisfied(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// waiting counts the bytes that the gateway does not have; call it with the lock held.
func (s *Shipper) waiting() int {
	total := 0
	for _, log := range s.logs {
		total += log.waiting
	}
	return total
}

// open counts ended logs whose end the gateway does not know; call it with the lock held.
func (s *Shipper) open() int {
	count := 0
	for _, log := range s.logs {
		if log.closed && !log.done {
			count++
		}
	}
	return count
}

// take is the next batch; without one, how long to wait for it (0: until something changes).
func (s *Shipper) take() (batch Batch, source *Log, wait time.Duration, changed chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.logs) > 0 && s.logs[0].done && len(s.logs[0].pending) == 0 {
		s.logs = s.logs[1:]
	}
	if len(s.logs) == 0 || len(s.logs[0].pending) == 0 && !s.logs[0].closed {
		return Batch{}, nil, 0, s.changed
	}
	first := s.logs[0]
	few := len(first.pending) > 0 && len(first.pending) < requestChunks && first.waiting < s.limits.Chunk
	if few && len(s.logs) == 1 && !s.hurry {
		if wait := delay(first.next) - time.Since(first.pending[0].at); wait > 0 {
			return Batch{}, nil, wait, s.changed
		}
	}
	return first.batch(), first, 0, nil
}

// delay grows with the number of chunks: who prints for hours fills the journal with fewer, larger rows.
func delay(chunks int) time.Duration {
	switch {
	case chunks < 1000:
		return batchDelay
	case chunks < 10_000:
		return 3 * batchDelay
	default:
		return 10 * batchDelay
	}
}

// settle removes what is stored. It tells whether the request made progress.
func (s *Shipper) settle(source *Log, batch Batch, stored int, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	source.sent = 0
	removed := 0
	for removed < len(batch.Chunks) && (err != nil || batch.Chunks[removed].N <= stored) {
		source.waiting -= len(batch.Chunks[removed].Text)
		removed++
	}
	source.pending = source.pending[removed:]
	complete := removed == len(batch.Chunks)
	source.done = source.done || batch.Last && complete
	s.wake()
	return complete || removed > 0
}

// wake tells all that wait; call it with the lock held.
func (s *Shipper) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// pause waits for a change, or for the given time if it is not 0. It tells whether to go on.
func pause(ctx context.Context, wait time.Duration, changed chan struct{}) bool {
	var expired <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-expired:
	case <-changed:
	case <-ctx.Done():
		return false
	}
	return true
}

func timestamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
