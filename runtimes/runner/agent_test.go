package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// leading opens the way of an agent to one server, and returns its URL.
func leading(t *testing.T, of key, handle http.HandlerFunc) (string, func()) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead { // by which it is made ready
			handle(w, r)
		}
	}))
	t.Cleanup(server.Close)
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	by := &http.Transport{}
	t.Cleanup(by.CloseIdleConnections)
	a := &agents{
		address: free.Addr().String(), session: "secret", gateway: server.URL, models: server.URL, toModels: by, toTools: by,
	}
	end, err := a.open(of)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + a.address, end
}

func TestAnAgentReachesItsModelItsToolsItsMemoryAndNothingElse(t *testing.T) {
	base, end := leading(t, key{"fix[2].write", 3}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprint(w, r.Method, " ", r.URL.EscapedPath(), " ", r.Header.Get("Authorization"), " ", r.Header.Get("X-Mine"), string(body))
	})
	defer end()
	for _, test := range []struct {
		method, path, want string
		status             int
	}{
		{"POST", "/v1/chat/completions", "POST /v1/attempts/fix%5B2%5D.write/3/chat/completions Bearer secret {}", 402},
		{"POST", "/v1/tools", "POST /v1/attempts/fix%5B2%5D.write/3/tools Bearer secret {}", 402},
		{"PUT", "/v1/memory", "PUT /v1/attempts/fix%5B2%5D.write/3/memory Bearer secret {}", 402},
		{"GET", "/v1/tools", "", 405},
		{"POST", "/v1/register", "", 404},
		{"POST", "/v1/attempts/other/1/tools", "", 404},
		{"POST", "/v1/tools/../poll", "", 404},
	} {
		request, _ := http.NewRequest(test.method, base+test.path, strings.NewReader("{}"))
		request.Header.Set("Authorization", "Bearer mine")
		request.Header.Set("X-Mine", "x")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != test.status || test.want != "" && string(body) != test.want {
			t.Errorf("%s %s: %d %s", test.method, test.path, answer.StatusCode, body)
		}
	}
}

func TestBothGatewaysAreMadeReadyWhileTheAgentStarts(t *testing.T) {
	ready := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ready <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization")
	}))
	defer server.Close()
	by := &http.Transport{}
	defer by.CloseIdleConnections()
	a := &agents{address: "127.0.0.1:0", session: "secret", gateway: server.URL, models: server.URL, toModels: by, toTools: by}
	end, err := a.open(key{"write", 3})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	found := map[string]bool{}
	for range 2 {
		found[awaited(t, ready)] = true
	}
	for _, what := range []string{"chat/completions", "tools"} {
		if !found["HEAD /v1/attempts/write/3/"+what+" Bearer secret"] {
			t.Errorf("found %v", found)
		}
	}
}

func TestAnAnswerComesPieceByPiece(t *testing.T) {
	heard := make(chan bool)
	base, end := leading(t, key{"a", 1}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
			select {
			case <-heard:
			case <-time.After(10 * time.Second):
				return
			}
		}
	})
	defer end()
	answer, err := http.Post(base+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	piece := make([]byte, 100)
	for n := range 3 {
		size, err := answer.Body.Read(piece)
		if want := fmt.Sprintf("data: %d\n\n", n); string(piece[:size]) != want {
			t.Fatalf("got %q, %v", piece[:size], err)
		}
		heard <- true
	}
}

func awaited[T any](t *testing.T, what chan T) (found T) {
	t.Helper()
	select {
	case found = <-what:
	case <-time.After(10 * time.Second):
		t.Fatal("it did not happen")
	}
	return found
}

func TestWithTheAttemptEndsAllThatItAsked(t *testing.T) {
	asked, cut := make(chan bool), make(chan bool)
	base, end := leading(t, key{"a", 1}, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		asked <- true
		<-r.Context().Done()
		close(cut)
	})
	go http.Post(base+"/v1/tools", "application/json", strings.NewReader("{}"))
	awaited(t, asked)
	end()
	awaited(t, cut)
	if _, err := net.DialTimeout("tcp4", strings.TrimPrefix(base, "http://"), time.Second); err == nil {
		t.Error("somebody still listens")
	}
}

func TestOnlyAnAgentIsServedAndItsEndIsOne(t *testing.T) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	s := newSession(nil, nil, nil, nil, limits{})
	by := &http.Transport{}
	s.agents = &agents{
		address: free.Addr().String(), models: "https://127.0.0.1:1", gateway: "https://127.0.0.1:1", toModels: by, toTools: by,
	}
	for _, isAgent := range []bool{false, true, true} {
		next := &assignment{}
		next.Step, next.Attempt, next.Agent = "a", 1, isAgent
		end, err := s.open(next, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.DialTimeout("tcp4", s.agents.address, time.Second)
		if (err == nil) != isAgent {
			t.Errorf("agent %v: %v", isAgent, err)
		}
		if conn != nil {
			conn.Close()
		}
		end()
	}
}

func TestWhatIsTooLargeOrTooMuchIsRefused(t *testing.T) {
	asked, proceed := make(chan bool, 100), make(chan bool)
	base, end := leading(t, key{"a", 1}, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			asked <- true
			<-proceed
		}
	})
	defer end()
	large := bytes.NewReader(make([]byte, agentBytes+1))
	answer, err := http.Post(base+"/v1/tools", "application/json", large)
	if err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("%v %v", answer, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for range 2 * agentRequests {
		go func() {
			request, _ := http.NewRequestWithContext(ctx, "POST", base+"/v1/tools", strings.NewReader("{}"))
			http.DefaultClient.Do(request)
		}()
		awaited(t, asked)
	}
	answer, err = http.Post(base+"/v1/tools", "application/json", strings.NewReader("{}"))
	if err != nil || answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%v %v", answer, err)
	}
	close(proceed)
}

func TestAGatewayThatIsAwayIsSaidAsClientsOfModelsReadIt(t *testing.T) {
	gone := httptest.NewServer(nil)
	to, _ := url.Parse(gone.URL)
	gone.Close()
	answer := httptest.NewRecorder()
	a := &agents{session: "s"}
	a.lead(to, &http.Transport{}).ServeHTTP(answer, httptest.NewRequest("POST", "/v1/tools", nil))
	if answer.Code != http.StatusBadGateway || !strings.HasPrefix(answer.Body.String(), `{"error":{"code":"Unreachable","message":"`) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if _, err := a.open(key{"a", 1}); err != errNoModels {
		t.Errorf("without a model gateway: %v", err)
	}
}

func TestWhatAnAttemptOfAnAgentOpenedEndsOnce(t *testing.T) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	by := &http.Transport{}
	s := &session{agents: &agents{
		address: free.Addr().String(), gateway: "http://127.0.0.1:1", models: "http://127.0.0.1:1", toModels: by, toTools: by,
	}}
	next := &assignment{}
	next.Agent = true
	for range 2 { // the second listens where the first has ended
		end, err := s.open(next, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		end()
	}
}
