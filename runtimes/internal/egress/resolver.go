package egress

import (
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"time"
)

const (
	packetBytes = 4096
	// Questions over TCP: how many clients at once, and how long one may take for its next.
	tcpClients = 16
	tcpIdle    = 5 * time.Second
)

// lookup says what becomes of a name: an address, or none and why.
type lookup func(name string, kind uint16) (netip.Addr, rcode)

// resolver answers questions at one address, over UDP and TCP. It asks nobody.
type resolver struct {
	packets net.PacketConn
	streams net.Listener
	look    lookup
}

// listenResolver binds address ("127.0.0.1:53") and answers from then on.
func listenResolver(address string, look lookup) (*resolver, error) {
	packets, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	streams, err := net.Listen("tcp4", packets.LocalAddr().String())
	if err != nil {
		packets.Close()
		return nil, err
	}
	r := &resolver{packets: packets, streams: streams, look: look}
	go r.servePackets()
	go r.serveStreams()
	return r, nil
}

func (r *resolver) close() {
	r.packets.Close()
	r.streams.Close()
}

func (r *resolver) servePackets() {
	buffer := make([]byte, packetBytes)
	for {
		size, from, err := r.packets.ReadFrom(buffer)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				log.Printf("names are answered no more: %v", err)
			}
			return
		}
		if answer := r.answer(buffer[:size]); answer != nil {
			r.packets.WriteTo(answer, from)
		}
	}
}

func (r *resolver) serveStreams() {
	room := make(chan struct{}, tcpClients)
	for {
		conn, err := r.streams.Accept()
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { conn.Close(); <-room }()
				r.serveStream(conn)
			}()
		default:
			conn.Close()
		}
	}
}

func (r *resolver) serveStream(conn net.Conn) {
	var size [2]byte
	for {
		conn.SetDeadline(time.Now().Add(tcpIdle))
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer := r.answer(query)
		if answer == nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := conn.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// answer is the answer to a packet; nil for what is no question.
func (r *resolver) answer(query []byte) []byte {
	if !isQuery(query) {
		return nil
	}
	asked, outcome := parseQuestion(query)
	if outcome != noError {
		return reply(query, question{}, outcome, netip.Addr{})
	}
	if asked.class != classIN {
		return reply(query, asked, nxDomain, netip.Addr{})
	}
	address, outcome := r.look(asked.name, asked.kind)
	if asked.kind != typeA {
		// The name is there, but has nothing of this kind: clients that ask for IPv6 too go on with IPv4.
		address = netip.Addr{}
	}
	return reply(query, asked, outcome, address)
}
