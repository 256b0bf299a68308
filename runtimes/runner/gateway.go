package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	notYetDelay  = 50 * time.Millisecond
	// answerBytes bounds an answer: an assignment carries its input and sealed values.
	answerBytes = 24 << 20
)

// refusal is an answer that a repetition of the same request would not change.
type refusal struct {
	status          int
	reason, message string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the gateway answered %d %s: %s", r.status, r.reason, r.message)
}

// refusedWith tells whether err is a refusal with the given status.
func refusedWith(err error, status int) bool {
	var refused *refusal
	return errors.As(err, &refused) && refused.status == status
}

// gateway speaks the protocol's HTTP: it knows about retries and refusals, and nothing about steps.
type gateway struct {
	base    string
	client  *http.Client
	session string // set once, by register, before anything else is called
}

// newGateway speaks to whom a CA (PEM) vouches for.
func newGateway(base string, ca []byte) (*gateway, error) {
	transport, err := newTransport(ca, 8)
	if err != nil {
		return nil, err
	}
	return &gateway{base: base, client: &http.Client{Transport: transport}}, nil
}

// newTransport trusts the CA (PEM) and nothing else, and holds so many connections at most.
func newTransport(ca []byte, connections int) (*http.Transport, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("CITADEL_CA holds no PEM certificate")
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig: &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS12,
			// One round trip and no 1.2 kB key share: the peer is inside the cluster.
			CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		},
		// HTTP/1.1: three connections at most, and no framing cost on the way of a warm step.
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: 4,
		MaxConnsPerHost:     connections,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
		ReadBufferSize:      32 << 10,
		WriteBufferSize:     32 << 10,
	}, nil
}

// call posts body to path and decodes the answer. It repeats while the gateway is busy or away, for ever: what is
// left is a refusal, or that ctx ended. patience is how long one request may take.
func (g *gateway) call(ctx context.Context, path string, body []byte, patience time.Duration, answer any) error {
	backoff := firstBackoff
	for {
		status, err := g.post(ctx, path, body, patience, answer)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case status == http.StatusTooEarly:
			if !sleep(ctx, notYetDelay) {
				return ctx.Err()
			}
			continue
		case final(status):
			return err
		}
		if backoff == firstBackoff || backoff == lastBackoff {
			log.Printf("%s: %v; retrying", path, err)
		}
		// A quarter of jitter: the sandboxes that lost a gateway do not come back as one.
		if !sleep(ctx, backoff-rand.N(backoff/4)) {
			return ctx.Err()
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// final tells whether a status is an answer for good. 0 is no answer; 404 is a gateway of another release, or a
// stranger at its address during a rollout.
func final(status int) bool {
	switch {
	case status < 400, status >= 500:
		return false
	case status == http.StatusNotFound, status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return false
	default:
		return true
	}
}

// request is one with what every request of this runner says.
func (g *gateway) request(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	request.Header["User-Agent"] = []string{"citadel-runner/" + version}
	// Every request may be repeated: lets the client replace a connection that the gateway closed while it was idle.
	request.Header["Idempotency-Key"] = nil
	if g.session != "" {
		request.Header.Set("Authorization", "Bearer "+g.session)
	}
	return request, nil
}

func (g *gateway) post(ctx context.Context, path string, body []byte, patience time.Duration, answer any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := g.request(ctx, http.MethodPost, g.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := g.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, answerBytes+1))
	if err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, refusalOf(response.StatusCode, data)
	}
	if len(data) > answerBytes {
		return 0, fmt.Errorf("the answer is larger than %d bytes", answerBytes)
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return 0, fmt.Errorf("the answer is not the JSON expected: %w", err)
	}
	return response.StatusCode, nil
}

func refusalOf(status int, data []byte) *refusal {
	var body struct {
		Error struct{ Reason, Message string }
	}
	if json.Unmarshal(data, &body) != nil || body.Error.Reason == "" {
		body.Error.Reason = http.StatusText(status)
		body.Error.Message = string(data[:min(len(data), 200)])
	}
	return &refusal{status: status, reason: body.Error.Reason, message: body.Error.Message}
}

func sleep(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
