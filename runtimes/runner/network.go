package main

import (
	"errors"

	"citadel.dev/runtimes/internal/egress"
	"citadel.dev/runtimes/internal/logs"
	"citadel.dev/runtimes/internal/mask"
)

// dnsAddress is where the pod's resolv.conf looks for names.
const dnsAddress = "127.0.0.1:53"

var errNoDoor = errors.New("network.egress: this sandbox has no way to the egress proxy")

// newDoor answers the pod's questions for names from now on; nil where there is no egress proxy. What has no
// network.egress does not need it: that it cannot be opened is said, and no end.
func newDoor(c config) (*egress.Door, *egress.Proxy) {
	if c.egress == "" {
		return nil, nil
	}
	proxy, err := egress.NewProxy(c.egress, c.ca)
	if err != nil {
		logf("CITADEL_EGRESS: %v", err)
		return nil, nil
	}
	door, err := egress.Listen(c.dns, proxy)
	if err != nil {
		logf("names are not answered: %v", err)
		return nil, nil
	}
	return door, proxy
}

// open lets an attempt reach what its assignment names; what it is refused stands in its log. What it returns ends
// what was opened.
func (s *session) open(next *assignment, log *logs.Log, secrets *mask.Secrets) (func(), error) {
	var err error
	shut := func() {}
	switch {
	case s.door != nil:
		err = s.door.Open(egress.Attempt{
			Step: next.Step, Number: next.Attempt, Destination: next.Egress,
			// Code may ask for a name that holds what is to be hidden.
			Log: func(line string) { log.Mark(secrets.Text(line) + "\n") },
		})
		shut = s.door.Close
	case len(next.Egress) > 0:
		err = errNoDoor
	}
	if err != nil || !next.Agent {
		return shut, err
	}
	leave, err := s.agents.open(next.key())
	if err != nil {
		shut()
		return nil, err
	}
	return func() { leave(); shut() }, nil
}
