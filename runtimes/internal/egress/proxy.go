package egress

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	dialWithin = 5 * time.Second
	// answerWithin is longer than the proxy takes to resolve and to dial.
	answerWithin = 30 * time.Second
	// idleFor is shorter than the proxy waits for a request.
	idleFor = 60 * time.Second
	// maxIdle bounds the links that wait for a tunnel while a step runs; between steps it is one: the proxy serves all
	// sandboxes.
	maxIdle = 4
	// prepareAfter keeps the proxy from shaking hands for the next connection while it makes this one.
	prepareAfter = 5 * time.Millisecond
	copyBytes    = 16 << 10
	headBytes    = 4 << 10
	reasonSize   = 1000
)

// Proxy opens connections through the egress proxy.
type Proxy struct {
	address string
	config  *tls.Config
	token   string

	mu    sync.Mutex
	idle  []*link // opened ahead, or left by tunnels that have ended: the one used last is the last
	under bool    // one is being opened ahead
}

// NewProxy knows the proxy by its address and the CA (PEM) that signed its certificate.
func NewProxy(address string, ca []byte) (*Proxy, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA holds no PEM certificate")
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return &Proxy{address: address, config: &tls.Config{
		RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256},
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}}, nil
}

// Identify makes what the sandbox shows for itself out of its session, which the proxy never sees.
func (p *Proxy) Identify(session string) {
	hash := sha256.Sum256([]byte(session))
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(hash[:])))
	mac.Write([]byte("citadel egress"))
	sandbox, _, _ := strings.Cut(session, ".")
	p.token = sandbox + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// tunnel carries one connection until both directions have ended, one breaks, or ctx ends. Its error says why there
// was none.
func (p *Proxy) tunnel(ctx context.Context, client *net.TCPConn, attempt Attempt, host string, port uint16) error {
	stop := context.AfterFunc(ctx, func() { reset(client) })
	defer stop()
	request := fmt.Sprintf("CONNECT %[1]s:%[2]d HTTP/1.1\r\nHost: %[1]s:%[2]d\r\nProxy-Authorization: Bearer %[3]s\r\n"+
		"Citadel-Attempt: %[4]s/%[5]d\r\n\r\n", host, port, p.token, attempt.Step, attempt.Number)
	link, err := p.connect(ctx, request)
	if err != nil {
		// Not closed in order: that would be an answer without content, which some protocols take for one.
		reset(client)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	cut := context.AfterFunc(ctx, link.close)
	both := make(chan error, 2)
	go func() { both <- link.send(client) }()
	go func() {
		err := link.receive(client)
		if err == nil {
			err = client.CloseWrite()
		}
		both <- err
	}()
	first := <-both
	if first != nil {
		reset(client)
		link.close()
	}
	second := <-both
	if first != nil || second != nil {
		reset(client)
		link.close()
		return nil
	}
	client.Close()
	if cut() {
		p.keep(link)
	}
	return nil
}

// connect sends a request, over a link that is there if there is one, and reads the answer.
func (p *Proxy) connect(ctx context.Context, request string) (*link, error) {
	for ready := p.take(); ready != nil; ready = p.take() {
		err := ready.ask(ctx, request)
		var refused *refusal
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return ready, err
		}
		// The proxy has closed it, or is another one by now.
	}
	fresh, err := p.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the egress proxy does not answer: %w", err)
	}
	return fresh, fresh.ask(ctx, request)
}

func (p *Proxy) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := (&tls.Dialer{Config: p.config}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return &link{conn: conn.(*tls.Conn), reader: bufio.NewReaderSize(conn, headBytes)}, nil
}

// refusal is the proxy's answer that a connection is not made.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// ask sends a request and reads the head of its answer; the tunnel follows.
func (l *link) ask(ctx context.Context, request string) error {
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	l.conn.SetDeadline(time.Now().Add(answerWithin))
	answer, err := func() (*http.Response, error) {
		if _, err := io.WriteString(l.conn, request); err != nil {
			return nil, err
		}
		return http.ReadResponse(l.reader, &http.Request{Method: http.MethodConnect})
	}()
	if err != nil {
		l.close()
		return fmt.Errorf("the egress proxy does not answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, reasonSize))
		l.close()
		return &refusal{printable(string(reason))}
	}
	l.conn.SetDeadline(time.Time{})
	return nil
}

// printable keeps a reason on its line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// reset ends a connection so that its other side takes it for broken.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}
