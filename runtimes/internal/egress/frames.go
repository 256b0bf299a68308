package egress

import (
	"bufio"
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
