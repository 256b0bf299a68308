package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// frameBytes is what one frame carries: with its length it is one TLS record.
const frameBytes = 16<<10 - 2

// link is a connection to the egress proxy. It carries one tunnel after another: a handshake costs more than all else
// that is on the way of a connection. In a tunnel both directions come in frames, each behind its length in two bytes;
// a frame of length 0 ends its direction. A link that breaks is a tunnel that was cut.
type link struct {
	conn   *tls.Conn
	reader *bufio.Reader
	since  time.Time // when it was last known to be good
}

func (l *link) close() { l.conn.NetConn().Close() }

// send carries what a client says, and its end.
func (l *link) send(client io.Reader) error {
	frame := make([]byte, 2+frameBytes)
	for {
		n, err := client.Read(frame[2:])
		if n > 0 {
			binary.BigEndian.PutUint16(frame, uint16(n))
			if _, err := l.conn.Write(frame[:2+n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			_, err = l.conn.Write([]byte{0, 0})
			return err
		}
		if err != nil {
			return err
		}
	}
}

// receive carries what comes for a client, to its end.
func (l *link) receive(client io.Writer) error {
	var length [2]byte
	buffer := make([]byte, copyBytes)
	for {
		if _, err := io.ReadFull(l.reader, length[:]); err != nil {
			return err
		}
		left := int(binary.BigEndian.Uint16(length[:]))
		if left == 0 {
			return nil
		}
		for left > 0 {
			n, err := l.reader.Read(buffer[:min(left, copyBytes)])
			if n > 0 {
				left -= n
				if _, err := client.Write(buffer[:n]); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
		}
	}
}

// take gives the link used last, if one waits, and sees to it that the next connection finds one as well.
func (p *Proxy) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	time.AfterFunc(prepareAfter, p.prepare)
	p.drop()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	ready := p.idle[last]
	p.idle = p.idle[:last]
	return ready
}

// keep has a link wait for its next tunnel.
func (p *Proxy) keep(ready *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	if len(p.idle) >= maxIdle {
		ready.close()
		return
	}
	ready.since = time.Now()
	p.idle = append(p.idle, ready)
}

// rest closes the links of a step that has ended, but for the one that the next one may need.
func (p *Proxy) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 1 {
		p.idle[0].close()
		p.idle = p.idle[1:]
	}
}

// drop closes what has waited too long. With p.mu held.
func (p *Proxy) drop() {
	for len(p.idle) > 0 && time.Since(p.idle[0].since) > idleFor {
		p.idle[0].close()
		p.idle = p.idle[1:]
	}
}

// prepare opens a link ahead, unless there is one that will not be closed soon.
func (p *Proxy) prepare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under || len(p.idle) > 0 && time.Since(p.idle[len(p.idle)-1].since) < idleFor/2 {
		return
	}
	p.under = true
	go func() {
		ready, err := p.dial(context.Background())
		if err == nil { // else whoever needs one says so
			p.keep(ready)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.under = false
	}()
}
