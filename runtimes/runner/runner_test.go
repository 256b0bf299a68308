package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/box"

	"citadel.dev/runtimes/internal/wire"
)

func TestSealedArgumentsAreMergedAndNamedInErrors(t *testing.T) {
	k, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(text string) sealed {
		data, err := box.SealAnonymous(nil, []byte(text), k.public, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return sealed{Box: base64.StdEncoding.EncodeToString(data), Secret: true}
	}
	given := &assignment{Sealed: map[string]sealed{"p": seal(`"hunter2"`)}}
	given.Input = json.RawMessage(`{"n": 12345678901234567890, "h": "<b>"}`)
	secrets, err := k.unseal(given)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(given.Input); got != `{"h":"<b>","n":12345678901234567890,"p":"hunter2"}` {
		t.Errorf("input %s", got)
	}
	if got := secrets.Text("hunter2"); got != "***" {
		t.Errorf("not hidden: %s", got)
	}
	for name, argument := range map[string]sealed{"text": {Box: "!"}, "foreign": {Box: "AAAA"}, "json": seal("{")} {
		_, err := k.unseal(&assignment{Sealed: map[string]sealed{name: argument}})
		if err == nil || err.Error()[:len("argument "+name)] != "argument "+name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// answering gives one status after another, then 200.
func answering(t *testing.T, statuses ...int) (*gateway, *int) {
	t.Helper()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if asked <= len(statuses) {
			w.WriteHeader(statuses[asked-1])
			fmt.Fprint(w, `{"error": {"reason": "R", "message": "m"}}`)
			return
		}
		fmt.Fprint(w, `{"new": 1}`)
	}))
	t.Cleanup(server.Close)
	return &gateway{base: server.URL, client: server.Client()}, &asked
}

func TestWhatPassesIsRetriedAndWhatIsFinalIsNot(t *testing.T) {
	cases := []struct {
		statuses []int
		asked    int
		refused  int
	}{
		{[]int{425, 425}, 3, 0},
		{[]int{503, 429, 404}, 4, 0},
		{[]int{400}, 1, 400},
		{[]int{401}, 1, 401},
		{[]int{500, 409}, 2, 409},
		{[]int{410}, 1, 410},
		{[]int{413}, 1, 413},
	}
	for _, test := range cases {
		g, asked := answering(t, test.statuses...)
		var answer struct{}
		err := g.call(context.Background(), "/v1/poll", nil, time.Second, &answer)
		if *asked != test.asked || (err == nil) != (test.refused == 0) || test.refused != 0 && !refusedWith(err, test.refused) {
			t.Errorf("%v: asked %d times, %v", test.statuses, *asked, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, errs := range map[int][]error{
		exitDone:         {nil, errTerminated, &refusal{status: 410}},
		exitShimGone:     {errShimGone, fmt.Errorf("x: %w", errShimGone)},
		exitUnauthorized: {&refusal{status: 401}},
		exitError:        {errors.New("x"), &refusal{status: 400}},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}

func TestCancellationsAreToldOnceAndKeptForWhatIsOnItsWay(t *testing.T) {
	s := newSession(nil, nil, nil, nil, limits{})
	wanted := func(step string, grace float64) pulse {
		var p pulse
		data := fmt.Sprintf(`{"cancel": [{"step": %q, "attempt": 1, "graceSeconds": %g}]}`, step, grace)
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	s.heard(wanted("late", 5))
	cancels := s.begin(key{"late", 1})
	if got := <-cancels; got != (wire.Cancel{Step: "late", Attempt: 1, GraceSeconds: 5}) {
		t.Errorf("got %v", got)
	}
	if s.heard(wanted("late", 5)) || len(cancels) != 0 {
		t.Error("told twice")
	}
	if !s.heard(wanted("late", 0)) || len(cancels) != 1 {
		t.Error("a shorter grace is not passed on")
	}
	if got := s.beat(); got.Step != "late" || *got.Cancelling != 0 {
		t.Errorf("beat %v", got)
	}
	s.end()
	if got := s.beat(); got != (beat{}) {
		t.Errorf("idle beat %v", got)
	}
}
