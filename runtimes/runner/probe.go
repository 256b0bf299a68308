package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// silence is how long nothing must be heard of what is forbidden. One round trip inside a cluster takes below 1 ms;
// a second attempt of the kernel to connect would come after 1 s.
const silence = 300 * time.Millisecond

// probes bounds how often the permitted port is tried: without an answer there silence means nothing.
const probes = 5

// warmWithin is how long a member of a pool may take to load what attempts need before it is claimed without.
const warmWithin = 30 * time.Second

// isolation is what a sandbox finds out about the network around it.
type isolation struct {
	Permitted bool     `json:"permitted"` // the positive control: what must answer does
	Answered  []string `json:"answered"`  // what must not answer, and does
}

// target is an address that policy forbids, and what the report calls it.
type target struct{ name, address string }

// targetsOf reads `name=ip:port,…`; what is malformed is left out.
func targetsOf(list string) []target {
	var found []target
	for _, item := range strings.Split(list, ",") {
		if name, address, ok := strings.Cut(item, "="); ok {
			found = append(found, target{name, address})
		}
	}
	return found
}

// startProbe probes in the background; the channel is closed without a word where nothing is known to be forbidden.
func startProbe(ctx context.Context, permitted string, forbidden []target) <-chan isolation {
	probing := make(chan isolation, 1)
	go func() {
		defer close(probing)
		if len(forbidden) > 0 {
			probing <- probe(ctx, permitted, forbidden)
		}
	}()
	return probing
}

// probe tries everything at the same time, so that what is silent was silent while the permitted port answered.
func probe(ctx context.Context, permitted string, forbidden []target) isolation {
	var found isolation
	for range probes {
		found = probeOnce(ctx, permitted, forbidden)
		if found.Permitted || len(found.Answered) > 0 || !sleep(ctx, silence) {
			break
		}
	}
	return found
}

func probeOnce(ctx context.Context, permitted string, forbidden []target) isolation {
	var wait sync.WaitGroup
	heard := make([]bool, len(forbidden))
	for index, item := range forbidden {
		wait.Add(1)
		go func() {
			defer wait.Done()
			heard[index] = answers(ctx, item.address)
		}()
	}
	found := isolation{Permitted: answers(ctx, permitted), Answered: []string{}}
	wait.Wait()
	for index, item := range forbidden {
		if heard[index] && !slices.Contains(found.Answered, item.name) {
			found.Answered = append(found.Answered, item.name)
		}
	}
	return found
}

// answers tells whether anything came back: also a refusal has crossed the network.
func answers(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: silence}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
	}
	conn.Close()
	return true
}

// reportIsolation tells the gateway what the probe found, and closes reported.
func (s *session) reportIsolation(ctx context.Context, probing <-chan isolation) {
	defer close(s.reported)
	select {
	case found, ok := <-probing:
		if !ok {
			return
		}
		s.awaitWarm(ctx)
		if err := s.gateway.isolation(ctx, found); err != nil && ctx.Err() == nil {
			logf("isolation: %v", err)
		}
	case <-ctx.Done():
	}
}

// awaitWarm holds back the report of a pool's member, by which it can be claimed: until it is as ready as it gets, and
// has its connections. One that loads for so long is claimed all the same.
func (s *session) awaitWarm(ctx context.Context) {
	if !s.member {
		return
	}
	var connected sync.WaitGroup
	connected.Add(1)
	go func() {
		defer connected.Done()
		s.agents.connect(ctx)
	}()
	select {
	case <-s.sandbox.warm:
	case <-s.sandbox.gone:
	case <-time.After(warmWithin):
	case <-ctx.Done():
	}
	connected.Wait()
}

// awaitReport holds back a first result that would overtake the report: an execution may end with it.
func (s *session) awaitReport(ctx context.Context) {
	select {
	case <-s.reported:
	case <-time.After(2 * silence):
	case <-ctx.Done():
	}
}
