package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiAddress is where api.example.com is found, in every attempt of every sandbox.
const apiAddress = "127.68.61.56"

// fakeProxy answers CONNECT: what is asked for it remembers; with `refuse` it says that, else it echoes.
type fakeProxy struct {
	mu       sync.Mutex
	requests []string
	refuse   string
	open     int
	links    []net.Conn
}

func (f *fakeProxy) serve(conn net.Conn) {
	defer conn.Close()
	f.mu.Lock()
	f.links = append(f.links, conn.(*tls.Conn).NetConn())
	f.mu.Unlock()
	link := &link{conn: conn.(*tls.Conn), reader: bufio.NewReader(conn)}
	for f.tunnel(link) {
	}
}

// tunnel serves one request; it tells whether another one may come over the same link.
func (f *fakeProxy) tunnel(link *link) bool {
	request, err := http.ReadRequest(link.reader)
	if err != nil {
		return false
	}
	f.mu.Lock()
	f.requests = append(f.requests, fmt.Sprint(request.Method, " ", request.RequestURI, " ",
		request.Header.Get("Proxy-Authorization"), " ", request.Header.Get("Citadel-Attempt")))
	refuse := f.refuse
	f.open++
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.open--; f.mu.Unlock() }()
	if refuse != "" {
		fmt.Fprintf(link.conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s", len(refuse), refuse)
		return false
	}
	io.WriteString(link.conn, "HTTP/1.1 200 Connected\r\n\r\n\x00\x06hello ") // some servers speak first
	var said bytes.Buffer
	if link.receive(&said) != nil {
		return false
	}
	return link.send(io.MultiReader(&said, strings.NewReader(" bye"))) == nil
}

func (f *fakeProxy) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

// cut breaks every link.
func (f *fakeProxy) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.links {
		conn.Close()
	}
}

func (f *fakeProxy) isIdle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open == 0
}

type world struct {
	t     *testing.T
	proxy *fakeProxy
	door  *Door
	mu    sync.Mutex
	lines []string
}

func newWorld(t *testing.T) *world {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &world{t: t, proxy: &fakeProxy{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.proxy.serve(conn)
		}
	}()
	proxy, err := NewProxy(listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	proxy.Identify("cx-0.secret")
	for range 20 { // the port that UDP is given may be taken in TCP
		if w.door, err = Listen("127.0.0.1:0", proxy); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.door.Shut)
	return w
}

func (w *world) open(destinations ...string) {
	w.t.Helper()
	w.lines = nil
	err := w.door.Open(Attempt{"load", 2, destinations, func(line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lines = append(w.lines, line)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) waiting() int {
	proxy := w.door.proxy
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	return len(proxy.idle)
}

func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

// resolver is Go's own, asking the door; it sends EDNS, and A and AAAA together.
func (w *world) resolver(network string) *net.Resolver {
	address := w.door.resolver.packets.LocalAddr().String()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}

func (w *world) address(host string) (string, error) {
	found, err := w.resolver("udp").LookupHost(context.Background(), host+".")
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		w.t.Fatalf("%s is %v", host, found)
	}
	return found[0], nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so after 5 s: ", what)
		}
	}
}

// connected is a connection to a host, after the proxy's greeting; it is open until the test's end.
func (w *world) connected() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", apiAddress+":15443")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	if _, err := io.ReadFull(conn, make([]byte, 6)); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// say sends text to a host's address, closes that direction, and reads to the end.
func (w *world) say(address, text string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// Whichever meets the reset first has the error.
	_, sent := io.WriteString(conn, text)
	ended := conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	return string(answer), errors.Join(sent, ended, err)
}

func TestEachHostHasAnAddressWhereItsPortsLeadThroughTheProxy(t *testing.T) {
	w := newWorld(t)
	w.open("db.mine:15432", "api.example.com:15443", "api.example.com:15080")
	api, _ := w.address("api.example.com")
	db, _ := w.address("db.mine")
	if api != apiAddress || db == api || !netip.MustParsePrefix("127.64.0.0/10").Contains(netip.MustParseAddr(db)) {
		t.Fatalf("%s %s", api, db)
	}
	for range 10 {
		answer, err := w.say(api+":15080", "ping")
		if answer != "hello ping bye" || err != nil {
			t.Fatalf("%q %v", answer, err)
		}
	}
	want := "CONNECT api.example.com:15080 Bearer cx-0.5heZAfKPTN4zX45A0iJmTdCNR5sPJYKYVjkF448lfmU load/2"
	if got := w.proxy.seen(); len(got) != 10 || got[0] != want {
		t.Errorf("%q", got)
	}
	if len(w.proxy.links) > 4 {
		t.Errorf("%d links: each connection pays a handshake", len(w.proxy.links))
	}
	if _, err := w.say(db+":15080", "x"); err == nil {
		t.Error("a port of another host is open")
	}
	if w.said() != "" {
		t.Error(w.said())
	}
}

func TestAnyOtherNameFailsAtOnceWithOneLine(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	for range 3 {
		began := time.Now()
		_, err := w.address("api.other.com")
		var missing *net.DNSError
		if missing, _ = err.(*net.DNSError); missing == nil || !missing.IsNotFound || time.Since(began) > time.Second {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
	}
	if got := w.said(); got != "api.other.com is not in network.egress of step load" {
		t.Error(got)
	}
	for i := range 3 * maxSaid {
		w.address(fmt.Sprintf("n%d.tunnel.example.org", i))
	}
	if got := strings.Count(w.said(), "\n") + 1; got != maxSaid {
		t.Errorf("%d lines", got)
	}
}

func TestNamesAreAnsweredOverTCPToo(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	found, err := w.resolver("tcp").LookupHost(context.Background(), "api.example.com.")
	if err != nil || len(found) != 1 {
		t.Error(found, err)
	}
}

func TestAWildcardGivesAddressesAsTheyAreAskedForAndNoMoreThanSoMany(t *testing.T) {
	w := newWorld(t)
	w.open("*.example.com:15443")
	first, _ := w.address("a.example.com")
	again, _ := w.address("A.example.com")
	second, _ := w.address("b.example.com")
	if first != again || first == second {
		t.Fatalf("%s %s %s", first, again, second)
	}
	if answer, _ := w.say(second+":15443", "x"); answer != "hello x bye" {
		t.Errorf("%q", answer)
	}
	if got := w.proxy.seen(); !strings.HasPrefix(got[0], "CONNECT b.example.com:15443 ") {
		t.Error(got)
	}
	failed := 0
	for i := range maxHosts + 10 {
		if _, err := w.address(fmt.Sprintf("n%d.example.com", i)); err != nil {
			failed++
		}
	}
	if failed != 12 {
		t.Errorf("%d names failed", failed)
	}
}

func TestARefusalBreaksTheConnectionAndStandsInTheLog(t *testing.T) {
	w := newWorld(t)
	w.proxy.refuse = "no ExecutionPolicy of namespace team allows egress\x1b[2J"
	w.open("api.example.com:15443")
	for range 2 {
		if answer, err := w.say(apiAddress+":15443", "ping"); answer != "" || err == nil {
			t.Fatalf("%q %v", answer, err)
		}
	}
	eventually(t, "said", func() bool { return w.said() != "" })
	if got := w.said(); got != "api.example.com:15443: no ExecutionPolicy of namespace team allows egress?[2J" {
		t.Errorf("%q", got)
	}
}

func TestNothingIsLeftForTheNextAttempt(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	conn := w.connected()
	w.door.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel is still there")
	}
	eventually(t, "the proxy's side has ended", w.proxy.isIdle)
	if _, err := w.say(apiAddress+":15443", "x"); err == nil {
		t.Error("the listener is still there")
	}
	if _, err := w.address("api.example.com"); err == nil {
		t.Error("the name is still there")
	}
	w.open()
	if _, err := w.address("api.example.com"); err == nil {
		t.Error("the next attempt has the name")
	}
	if got := w.said(); got != "api.example.com is not in network.egress of step load" {
		t.Error(got)
	}
}

func TestSoManyConnectionsAtOnceAndNoMore(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	for range maxTunnels {
		w.connected()
	}
	if answer, err := w.say(apiAddress+":15443", "x"); err == nil {
		t.Errorf("one more: %q", answer)
	}
	eventually(t, "said", func() bool { return strings.Contains(w.said(), "more than 100 connections at once") })
}

func TestAHostKeepsItsAddressFromOneAttemptToTheNextWhateverElseIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.open("*.example.com:15443")
	first, _ := w.address("api.example.com")
	w.door.Close()
	w.open("*.example.com:15443")
	w.address("other.example.com")
	if second, _ := w.address("api.example.com"); first != apiAddress || second != first {
		t.Errorf("%s, then %s", first, second)
	}
	step := &opening{hosts: map[string]netip.Addr{"other": netip.MustParseAddr(apiAddress)}}
	if got := step.address("api.example.com"); got != netip.MustParseAddr(apiAddress).Next() {
		t.Errorf("an address that is taken is given again: %s", got)
	}
}
