package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// What of DNS is needed to answer one question after another: RFC 1035, and no more of it.
const (
	headerBytes = 12
	typeA       = 1
	typePTR     = 12
	classIN     = 1
	// answerSeconds is how long a client may keep an address: it is of no use after the step.
	answerSeconds = 5
)

// rcode is the outcome that an answer carries.
type rcode uint16

const (
	noError  rcode = 0
	formErr  rcode = 1
	servFail rcode = 2
	nxDomain rcode = 3
	notImp   rcode = 4
)

// question is what a client asks: a name in lower case without the dot at its end, and what about it.
type question struct {
	name        string
	kind, class uint16
	wire        []byte // as it was asked, which is how it is repeated
}

// parseQuestion reads the one question of a query. Its error is an outcome that the client is told.
func parseQuestion(query []byte) (question, rcode) {
	var asked question
	flags := binary.BigEndian.Uint16(query[2:])
	if flags>>11&0xf != 0 {
		return asked, notImp
	}
	if binary.BigEndian.Uint16(query[4:]) != 1 {
		return asked, formErr
	}
	var labels []string
	at := headerBytes
	for {
		if at >= len(query) || query[at] > 63 { // compression has nothing to point at here
			return asked, formErr
		}
		size := int(query[at])
		at++
		if size == 0 {
			break
		}
		if at+size > len(query) || at-headerBytes+size > 255 {
			return asked, formErr
		}
		labels = append(labels, label(query[at:at+size]))
		at += size
	}
	if at+4 > len(query) {
		return asked, formErr
	}
	asked.name = strings.Join(labels, ".")
	asked.kind, asked.class = binary.BigEndian.Uint16(query[at:]), binary.BigEndian.Uint16(query[at+2:])
	asked.wire = query[headerBytes : at+4]
	return asked, noError
}

// label is a label as text. Bytes that no host's name has are escaped: a dot within a label is not one between two.
func label(raw []byte) string {
	var text strings.Builder
	for _, c := range raw {
		switch {
		case 'A' <= c && c <= 'Z':
			text.WriteByte(c + 'a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			text.WriteByte(c)
		default:
			fmt.Fprintf(&text, `\%03d`, c)
		}
	}
	return text.String()
}

// isQuery tells whether a packet is a question at all: what is not is never answered, so that no two answer each other.
func isQuery(packet []byte) bool { return len(packet) >= headerBytes && packet[2]&0x80 == 0 }

// reply is the answer to a query: with an address, or with none.
func reply(query []byte, asked question, outcome rcode, address netip.Addr) []byte {
	message := make([]byte, headerBytes, headerBytes+len(asked.wire)+16)
	copy(message, query[:2])
	recursionDesired := binary.BigEndian.Uint16(query[2:]) & 0x0100
	binary.BigEndian.PutUint16(message[2:], 0x8080|recursionDesired|uint16(outcome))
	if asked.wire == nil {
		return message
	}
	binary.BigEndian.PutUint16(message[4:], 1)
	message = append(message, asked.wire...)
	if !address.IsValid() {
		return message
	}
	binary.BigEndian.PutUint16(message[6:], 1)
	message = append(message, 0xc0, headerBytes, 0, typeA, 0, classIN, 0, 0, 0, answerSeconds, 0, 4)
	return append(message, address.AsSlice()...)
}
