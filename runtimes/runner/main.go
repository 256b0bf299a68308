// The runner is the container of a sandbox that talks to the gateway: it registers, takes assignments, hands them to
// the shim in the container main, and delivers results and logs. It never runs user code and never opens a file that
// user code can write. docs/protocol.md is its contract.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"citadel.dev/runtimes/internal/logs"
)

// version is set at build time (-ldflags "-X main.version=…").
var version = "dev"

// Exit codes. The controller reads the pod's status; these tell a person which way it ended.
const (
	exitDone         = 0 // drained, no longer wanted, or terminated
	exitError        = 1
	exitUsage        = 2 // configuration or command line
	exitShimGone     = 3 // the status of the container main says why
	exitUnauthorized = 4
)

// memoryLimit is what the heap tries to stay below: logs that wait for the gateway are most of it, and pods give the
// runner 64 MiB.
const memoryLimit = 40 << 20

var errTerminated = errors.New("terminated")

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC | log.Lmsgprefix)
	log.SetPrefix("runner: ")
	switch {
	case len(os.Args) == 3 && os.Args[1] == "install":
		if err := install(os.Args[2]); err != nil {
			logf("install: %v", err)
			os.Exit(exitError)
		}
	case len(os.Args) == 2 && os.Args[1] == "version":
		fmt.Println(version)
	case len(os.Args) > 1:
		fmt.Fprintln(os.Stderr, "usage: runner | runner install DIRECTORY | runner version")
		os.Exit(exitUsage)
	default:
		config, err := configFromEnvironment()
		if err != nil {
			logf("%v", err)
			os.Exit(exitUsage)
		}
		err = run(config)
		logf("ends: %v", err)
		os.Exit(exitCode(err))
	}
}

// config is the runner's environment.
type config struct {
	gateway string // https://ip:port
	ca      []byte // PEM
	sandbox string // this sandbox's name
	key     string // good for one registration
	address string // where the shim connects
	egress  string // ip:port of the egress proxy; empty where there is none
	dns     string // where names are answered
	models  string // https://ip:port of the model gateway; empty where agents do not run
	agent   string // where agents find it

	forbidden []target // what must not answer here
}

func configFromEnvironment() (config, error) {
	c := config{
		gateway: strings.TrimSuffix(os.Getenv("CITADEL_GATEWAY"), "/"),
		ca:      []byte(os.Getenv("CITADEL_CA")),
		sandbox: os.Getenv("CITADEL_SANDBOX"),
		key:     os.Getenv("CITADEL_KEY"),
		address: os.Getenv("CITADEL_SHIM_ADDRESS"),
		egress:  os.Getenv("CITADEL_EGRESS"),
		dns:     os.Getenv("CITADEL_DNS_ADDRESS"),
		models:  strings.TrimSuffix(os.Getenv("CITADEL_MODELS_URL"), "/"),
		agent:   os.Getenv("CITADEL_AGENT_ADDRESS"),

		forbidden: targetsOf(os.Getenv("CITADEL_FORBIDDEN")),
	}
	if node := os.Getenv("CITADEL_NODE_IP"); node != "" {
		c.forbidden = append(c.forbidden, target{"kubelet", net.JoinHostPort(node, "10250")})
	}
	if c.dns == "" {
		c.dns = dnsAddress
	}
	if c.agent == "" {
		c.agent = agentAddress
	}
	if c.address == "" {
		c.address = "127.0.0.1:7070"
	}
	switch {
	case !strings.HasPrefix(c.gateway, "https://"):
		return c, fmt.Errorf("CITADEL_GATEWAY is %q, expected https://<ip>:<port>", c.gateway)
	case len(c.ca) == 0:
		return c, errors.New("CITADEL_CA is empty, expected a PEM certificate")
	case c.sandbox == "" || c.key == "":
		return c, errors.New("CITADEL_SANDBOX or CITADEL_KEY is empty, expected the sandbox's name and its key")
	}
	return c, nil
}

// run serves until the sandbox's end, whose reason it returns.
func run(c config) error {
	debug.SetMemoryLimit(memoryLimit)
	// It passes on what others say, one short piece after another: threads would only wake each other up for that.
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp4", c.address)
	if err != nil {
		return err
	}
	sandbox := newSandbox(listener)
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-terminated
		stop(errTerminated)
	}()

	// Beside registering, and while main starts: nobody waits for it.
	probing := startProbe(ctx, strings.TrimPrefix(c.gateway, "https://"), c.forbidden)
	door, proxy := newDoor(c)
	gateway, err := newGateway(c.gateway, c.ca)
	if err != nil {
		return err
	}
	agents, err := newAgents(c)
	if err != nil {
		return err
	}
	keys, err := newKeys()
	if err != nil {
		return err
	}
	registered, err := gateway.register(ctx, c.sandbox, c.key, keys.publicBase64())
	if err != nil {
		return causeOf(ctx, err)
	}
	if proxy != nil {
		proxy.Identify(registered.Session)
	}
	bounds := registered.Limits
	shipper := logs.NewShipper(logs.Limits{Chunk: bounds.LogChunkBytes, Attempt: bounds.AttemptLogBytes}, gateway.sendLogs)
	shipping, stopShipping := context.WithCancel(context.Background())
	defer stopShipping()
	go shipper.Run(shipping)

	s := newSession(gateway, keys, sandbox, shipper, bounds)
	s.parcels.packages = registered.Packages
	s.door = door
	agents.session = registered.Session
	s.agents = agents
	s.member = registered.Member
	go s.heartbeats(ctx, stop)
	go s.reportIsolation(ctx, probing)
	err = causeOf(ctx, s.serve(ctx, registered.Assignment))
	if !refusedWith(err, http.StatusUnauthorized) {
		flushing, cancel := context.WithTimeout(context.Background(), flushWithin)
		defer cancel()
		shipper.Flush(flushing)
	}
	return err
}

// causeOf prefers why ctx ended over what that made of err.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

func exitCode(err error) int {
	switch {
	case err == nil, errors.Is(err, errTerminated), refusedWith(err, http.StatusGone):
		return exitDone
	case errors.Is(err, errShimGone):
		return exitShimGone
	case refusedWith(err, http.StatusUnauthorized):
		return exitUnauthorized
	default:
		return exitError
	}
}

func logf(format string, args ...any) { log.Printf(format, args...) }
