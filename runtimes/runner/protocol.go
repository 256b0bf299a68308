package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"citadel.dev/runtimes/internal/logs"
	"citadel.dev/runtimes/internal/wire"
)

// protocolVersion is what docs/protocol.md describes.
const protocolVersion = 1

// patience of requests that the gateway does not hold.
const answerWithin = 30 * time.Second

// limits are what the gateway allows and asks for.
type limits struct {
	PollSeconds      float64 `json:"pollSeconds"`
	HeartbeatSeconds float64 `json:"heartbeatSeconds"`
	LogChunkBytes    int     `json:"logChunkBytes"`
	AttemptLogBytes  int     `json:"attemptLogBytes"`
	OutputBytes      int     `json:"outputBytes"`
}

// assignment is one attempt as the gateway hands it out.
type assignment struct {
	wire.Assignment
	Egress []string          `json:"egress"` // what it reaches, as host:port
	Sealed map[string]sealed `json:"sealed"`
}

// sealed is an argument by reference: a sealed box of the JSON of one value.
type sealed struct {
	Box    string `json:"box"`
	Secret bool   `json:"secret"`
}

// key names an attempt.
type key struct {
	step    string
	attempt int
}

func (a *assignment) key() key { return key{a.Step, a.Attempt} }

func (k key) String() string { return fmt.Sprintf("%s attempt %d", k.step, k.attempt) }

func (k key) path(what string) string {
	return fmt.Sprintf("/v1/attempts/%s/%d/%s", url.PathEscape(k.step), k.attempt, what)
}

// registration is the answer to register.
type registration struct {
	Session    string        `json:"session"`
	Sandbox    string        `json:"sandbox"`
	Limits     limits        `json:"limits"`
	Packages   *wire.Content `json:"packages"` // of the Runtime, for every attempt
	Assignment *assignment   `json:"assignment"`
	Member     bool          `json:"member"` // of a warm pool, that no execution has claimed
}

// register trades the sandbox's key for a session.
func (g *gateway) register(ctx context.Context, sandbox, key, publicKey string) (*registration, error) {
	body, err := wire.Marshal(map[string]any{
		"protocol": protocolVersion, "sandbox": sandbox, "key": key, "publicKey": publicKey, "version": version,
	})
	if err != nil {
		return nil, err
	}
	answer := registration{Limits: limits{
		PollSeconds: 20, HeartbeatSeconds: 10, LogChunkBytes: 64 << 10, AttemptLogBytes: 10 << 20, OutputBytes: 1 << 20,
	}}
	if err := g.call(ctx, "/v1/register", body, answerWithin, &answer); err != nil {
		return nil, err
	}
	if answer.Session == "" {
		return nil, fmt.Errorf("the gateway's answer to register has no session")
	}
	g.session = answer.Session
	return &answer, nil
}

// poll waits for work; nil when none came.
func (g *gateway) poll(ctx context.Context, held float64) (*assignment, error) {
	var answer struct{ Assignment *assignment }
	err := g.call(ctx, "/v1/poll", []byte("{}"), wire.Seconds(held)+answerWithin, &answer)
	return answer.Assignment, err
}

// isolation tells what the probe found.
func (g *gateway) isolation(ctx context.Context, found isolation) error {
	body, err := wire.Marshal(found)
	if err != nil {
		return err
	}
	var answer struct{}
	return g.call(ctx, "/v1/isolation", body, answerWithin, &answer)
}

// report is an attempt's end as the gateway gets it.
type report struct {
	key       key
	succeeded bool
	body      []byte // the output, or the failure
	chunks    int    // of its log
	next      bool   // whether another assignment is asked for
	artifacts bool   // whether it has left any
}

// result delivers a report, and returns the next assignment if there is one.
func (g *gateway) result(ctx context.Context, r report) (*assignment, error) {
	outcome := "Failed"
	if r.succeeded {
		outcome = "Succeeded"
	}
	path := fmt.Sprintf("%s?outcome=%s&chunks=%d", r.key.path("result"), outcome, r.chunks)
	if !r.next {
		path += "&next=false"
	}
	if r.artifacts && r.succeeded {
		path += "&artifacts=true"
	}
	var answer struct{ Assignment *assignment }
	err := g.call(ctx, path, r.body, answerWithin, &answer)
	return answer.Assignment, err
}

// sendLogs is the shipper's way to the gateway.
func (g *gateway) sendLogs(ctx context.Context, batch logs.Batch) (int, error) {
	body, err := wire.Marshal(batch)
	if err != nil {
		return -1, err
	}
	var answer struct{ Stored *int }
	if err := g.call(ctx, key{batch.Step, batch.Attempt}.path("logs"), body, answerWithin, &answer); err != nil {
		return -1, err
	}
	if answer.Stored == nil && len(batch.Chunks) > 0 {
		return batch.Chunks[len(batch.Chunks)-1].N, nil
	}
	if answer.Stored == nil {
		return -1, nil
	}
	return *answer.Stored, nil
}

// beat is one heartbeat: what runs, and the grace of a cancellation that it has already been told.
type beat struct {
	Step       string   `json:"step,omitempty"`
	Attempt    int      `json:"attempt,omitempty"`
	Cancelling *float64 `json:"cancelling,omitempty"`
}

// pulse is the answer to a heartbeat.
type pulse struct {
	Cancel []struct {
		Step         string
		Attempt      int
		GraceSeconds float64
	}
	Drain bool
}

func (g *gateway) heartbeat(ctx context.Context, sent beat, held float64) (pulse, error) {
	var answer pulse
	body, err := json.Marshal(sent)
	if err != nil {
		return answer, err
	}
	err = g.call(ctx, "/v1/heartbeat", body, wire.Seconds(held)+answerWithin, &answer)
	return answer, err
}
