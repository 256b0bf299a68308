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
	// spareFor is shorter than the proxy waits for a request.
	spareFor = 60 * time.Second
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
	spare *tls.Conn // opened ahead: a handshake less on the way of a connection
	since time.Time
	under bool // a spare one is on its way
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
	proxied, reader, err := p.connect(ctx, request)
	if err != nil {
		// Not closed in order: that would be an answer without content, which some protocols take for one.
		reset(client)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	cut := context.AfterFunc(ctx, func() { proxied.NetConn().Close() })
	defer cut()
	both := make(chan error, 2)
	go func() {
		_, err := io.CopyBuffer(onlyWriter{proxied}, onlyReader{client}, make([]byte, copyBytes))
		if err == nil {
			err = proxied.CloseWrite()
		}
		both <- err
	}()
	go func() {
		_, err := io.CopyBuffer(onlyWriter{client}, onlyReader{reader}, make([]byte, copyBytes))
		if err == nil {
			err = client.CloseWrite()
		}
		both <- err
	}()
	first := <-both
	if first != nil {
		reset(client)
		proxied.NetConn().Close()
	}
	second := <-both
	if first == nil && second == nil {
		client.Close()
	} else {
		reset(client)
	}
	proxied.NetConn().Close()
	return nil
}

// connect sends a request, over the connection that was opened ahead if there is one, and reads the answer.
func (p *Proxy) connect(ctx context.Context, request string) (*tls.Conn, *bufio.Reader, error) {
	if spare := p.take(); spare != nil {
		conn, reader, err := exchange(ctx, spare, request)
		var refused *refusal
		if err == nil || errors.As(err, &refused) {
			return conn, reader, err
		}
		// The proxy has closed it, or is another one by now.
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the egress proxy does not answer: %w", err)
	}
	return exchange(ctx, conn, request)
}

func (p *Proxy) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := (&tls.Dialer{Config: p.config}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// take gives the spare connection, and has another one opened when the one that is being made has got its turn.
func (p *Proxy) take() *tls.Conn {
	p.mu.Lock()
	spare := p.spare
	p.spare = nil
	if spare != nil && time.Since(p.since) > spareFor {
		spare.NetConn().Close()
		spare = nil
	}
	p.mu.Unlock()
	time.AfterFunc(prepareAfter, p.prepare)
	return spare
}

// prepare opens a connection ahead, unless there is one.
func (p *Proxy) prepare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under || p.spare != nil && time.Since(p.since) < spareFor/2 {
		return
	}
	p.under = true
	go func() {
		conn, err := p.dial(context.Background())
		p.mu.Lock()
		defer p.mu.Unlock()
		p.under = false
		if err != nil {
			return // whoever needs one says so
		}
		if p.spare != nil {
			p.spare.NetConn().Close()
		}
		p.spare, p.since = conn, time.Now()
	}()
}

// refusal is the proxy's answer that a connection is not made.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// exchange sends a request and reads the head of its answer; the reader has what follows.
func exchange(ctx context.Context, conn *tls.Conn, request string) (*tls.Conn, *bufio.Reader, error) {
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(answerWithin))
	reader := bufio.NewReaderSize(conn, headBytes)
	answer, err := func() (*http.Response, error) {
		if _, err := io.WriteString(conn, request); err != nil {
			return nil, err
		}
		return http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	}()
	if err != nil {
		conn.NetConn().Close()
		return nil, nil, fmt.Errorf("the egress proxy does not answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, reasonSize))
		conn.NetConn().Close()
		return nil, nil, &refusal{printable(string(reason))}
	}
	conn.SetDeadline(time.Time{})
	return conn, reader, nil
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

// Without their other methods io.CopyBuffer uses the buffer that it is given: pools of 32 KiB would be held otherwise.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
