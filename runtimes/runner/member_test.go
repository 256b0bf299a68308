package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"citadel.dev/runtimes/internal/wire"
)

// quiet is how long nothing must be reported of what is held back.
const quiet = 100 * time.Millisecond

// pooled is a session whose probe has ended, the paths that its gateway was asked for, and its shim's connection.
func pooled(t *testing.T, member bool) (*session, chan string, net.Conn) {
	t.Helper()
	told := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.URL.Path
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sandbox := newSandbox(listener)
	shim, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shim.Close() })
	s := newSession(&gateway{base: server.URL, client: server.Client()}, nil, sandbox, nil, limits{})
	s.agents, s.member = &agents{}, member
	return s, told, shim
}

// reporting has the report begin, of a probe that has ended.
func reporting(ctx context.Context, s *session) {
	probing := make(chan isolation, 1)
	probing <- isolation{Permitted: true}
	go s.reportIsolation(ctx, probing)
}

func says(t *testing.T, shim net.Conn, kind wire.Kind, payload string) {
	t.Helper()
	if err := wire.NewWriter(shim).Write(kind, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func heldBack(t *testing.T, told chan string) {
	t.Helper()
	select {
	case path := <-told:
		t.Fatalf("found %s, expected nothing yet", path)
	case <-time.After(quiet):
	}
}

func isReported(t *testing.T, told chan string) {
	t.Helper()
	if path := awaited(t, told); path != "/v1/isolation" {
		t.Fatalf("found %s, expected the report", path)
	}
}

func TestTheReportOfAPoolsMemberWaitsUntilItIsWarm(t *testing.T) {
	s, told, shim := pooled(t, true)
	reporting(t.Context(), s)
	heldBack(t, told)
	says(t, shim, wire.KindHello, `{"runtime": true, "warms": true}`)
	awaited(t, s.sandbox.ready)
	heldBack(t, told)
	says(t, shim, wire.KindWarm, "")
	isReported(t, told)
	awaited(t, s.reported)
	says(t, shim, wire.KindWarm, "") // as no shim should
	says(t, shim, wire.KindResult, "S1")
	awaited(t, s.sandbox.results)
}

func TestNobodyElsesReportWaits(t *testing.T) {
	s, told, _ := pooled(t, false)
	reporting(t.Context(), s)
	isReported(t, told) // without so much as a hello
}

func TestAShimThatDoesNotTellHoldsNoReport(t *testing.T) {
	for _, hello := range []string{`{"runtime": true}`, `{"runtime": true, "warms": false}`} {
		s, told, shim := pooled(t, true)
		reporting(t.Context(), s)
		says(t, shim, wire.KindHello, hello)
		isReported(t, told)
	}
}

func TestAShimThatIsGoneHoldsNoReport(t *testing.T) {
	s, told, shim := pooled(t, true)
	reporting(t.Context(), s)
	says(t, shim, wire.KindHello, `{"runtime": true, "warms": true}`)
	awaited(t, s.sandbox.ready)
	shim.Close()
	isReported(t, told)
}

func TestARunnerThatEndsWaitsForNothingAndReportsNothing(t *testing.T) {
	s, told, _ := pooled(t, true)
	ctx, end := context.WithCancel(t.Context())
	reporting(ctx, s)
	heldBack(t, told)
	end()
	awaited(t, s.reported)
	if len(told) != 0 {
		t.Errorf("found %s, expected no report", <-told)
	}
}

func TestAMembersConnectionsToBothGatewaysAreOpenBeforeItIsClaimed(t *testing.T) {
	s, told, shim := pooled(t, true)
	asked, answer := make(chan string, 2), make(chan struct{})
	gateways := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization")
		<-answer
	}))
	defer gateways.Close()
	by := &http.Transport{}
	defer by.CloseIdleConnections()
	s.agents = &agents{session: "secret", gateway: gateways.URL, models: gateways.URL + "/models", toModels: by, toTools: by}
	reporting(t.Context(), s)
	says(t, shim, wire.KindHello, `{"runtime": true, "warms": true}`)
	says(t, shim, wire.KindWarm, "")
	found := map[string]bool{awaited(t, asked): true, awaited(t, asked): true}
	if !found["HEAD / Bearer secret"] || !found["HEAD /models/ Bearer secret"] {
		t.Errorf("found %v", found)
	}
	heldBack(t, told)
	close(answer)
	isReported(t, told)
}

func TestTheGatewaySaysWhoIsAMember(t *testing.T) {
	for answer, member := range map[string]bool{
		`{"session": "s", "member": true}`: true, `{"session": "s", "member": false}`: false, `{"session": "s"}`: false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, answer) }))
		g := &gateway{base: server.URL, client: server.Client()}
		registered, err := g.register(t.Context(), "cp-1", "key", "public")
		server.Close()
		if err != nil || registered.Member != member {
			t.Errorf("%s: found %+v, %v", answer, registered, err)
		}
	}
}
