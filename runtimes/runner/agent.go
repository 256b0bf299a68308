package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

const (
	// agentAddress is where an agent finds its model and its tools, while its attempt is under way.
	agentAddress = "127.0.0.1:8790"
	// agentBytes bounds a request: a conversation with what tools gave.
	agentBytes = 8 << 20
	// agentRequests bounds what is under way at once; for each side there are as many connections.
	agentRequests = 8
	// agentIdle is how long a connection is kept that no agent uses.
	agentIdle = 50 * time.Minute
)

var errNoModels = errors.New("this sandbox has no way to the model gateway")

// agents leads what an agent asks for to the gateways: it adds who asks, and for which attempt, and holds nothing back.
// What is asked and answered is not its business.
type agents struct {
	address  string
	session  string // set once, before the first attempt
	gateway  string // https://ip:port
	models   string // the same; empty where there is no model gateway
	toModels http.RoundTripper
	toTools  http.RoundTripper
}

func newAgents(c config) (*agents, error) {
	// Transports of their own: whatever an agent does, heartbeats and results have their connections.
	toTools, err := newTransport(c.ca, agentRequests)
	if err != nil {
		return nil, err
	}
	toModels, err := newTransport(c.ca, agentRequests)
	if err != nil {
		return nil, err
	}
	// A member of a pool waits long for its attempt; the gateways keep connections for an hour.
	toTools.IdleConnTimeout, toModels.IdleConnTimeout = agentIdle, agentIdle
	return &agents{
		address: c.agent, gateway: c.gateway, models: c.models, toModels: toModels, toTools: toTools,
	}, nil
}

// open serves an attempt until what it returns is called: then nobody listens, and nothing of it is under way.
func (a *agents) open(of key) (end func(), err error) {
	if a.models == "" {
		return nil, errNoModels
	}
	listener, err := net.Listen("tcp4", a.address)
	if err != nil {
		return nil, err
	}
	handler, err := a.handler(of)
	if err != nil {
		listener.Close()
		return nil, err
	}
	ctx, cut := context.WithCancel(context.Background())
	var underWay sync.WaitGroup
	serving := &http.Server{
		Handler:           counted(handler, &underWay),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go serving.Serve(listener)
	underWay.Add(1)
	go func() {
		defer underWay.Done()
		a.makeReady(ctx, of)
	}()
	return func() {
		cut()
		serving.Close()
		listener.Close() // Serve may not have begun, and then knows nothing of it
		underWay.Wait()
	}, nil
}

// makeReady has the model gateway open what the attempt is granted, while the agent starts.
func (a *agents) makeReady(ctx context.Context, of key) {
	a.head(ctx, of.path("chat/completions"), of.path("tools"))
}

// connect opens the connections that an agent will want, while there is none.
func (a *agents) connect(ctx context.Context) {
	if a.models != "" {
		a.head(ctx, "/", "/")
	}
}

// head asks both gateways for nothing. What fails here is tried again by the first request that is meant.
func (a *agents) head(ctx context.Context, ofModels, ofTools string) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var both sync.WaitGroup
	for to, by := range map[string]http.RoundTripper{a.models + ofModels: a.toModels, a.gateway + ofTools: a.toTools} {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, to, nil)
		if err != nil {
			continue
		}
		request.Header.Set("Authorization", "Bearer "+a.session)
		both.Add(1)
		go func() {
			defer both.Done()
			if answer, err := by.RoundTrip(request); err == nil {
				answer.Body.Close()
			}
		}()
	}
	both.Wait()
}

func (a *agents) handler(of key) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, way := range []struct {
		asked, to, what string
		by              http.RoundTripper
	}{
		{"POST /v1/chat/completions", a.models, "chat/completions", a.toModels},
		{"POST /v1/tools", a.gateway, "tools", a.toTools},
		{"PUT /v1/memory", a.gateway, "memory", a.toTools},
	} {
		to, err := url.Parse(way.to + of.path(way.what))
		if err != nil {
			return nil, err
		}
		mux.Handle(way.asked, a.lead(to, way.by))
	}
	return mux, nil
}

// counted serves so much at once that the runner's memory holds it.
func counted(by http.Handler, underWay *sync.WaitGroup) http.Handler {
	places := make(chan struct{}, 2*agentRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		underWay.Add(1)
		defer underWay.Done()
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			r.Body = http.MaxBytesReader(w, r.Body, agentBytes)
			by.ServeHTTP(w, r)
		default:
			refuse(w, http.StatusTooManyRequests, "TooManyRequests", "too many requests at once")
		}
	})
}

// lead passes a request on, and its answer back piece by piece as it comes.
func (a *agents) lead(to *url.URL, by http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			target := *to
			r.Out.URL = &target
			r.Out.Host = to.Host
			r.Out.Header = http.Header{
				"Authorization": {"Bearer " + a.session},
				"Content-Type":  {"application/json"},
				"User-Agent":    {"citadel-runner/" + version},
			}
		},
		Transport:     by,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				refuse(w, http.StatusRequestEntityTooLarge, "TooLarge", err.Error())
				return
			}
			refuse(w, http.StatusBadGateway, "Unreachable", err.Error())
		},
	}
}

// refuse answers as the gateways do, and as clients of models expect it.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, _ := wire.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
	w.Write(body)
}
