package egress

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// query is a question as a client sends it, with what follows the question.
func query(name string, kind uint16, rest ...byte) []byte {
	packet := []byte{0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0}
	if len(rest) > 0 {
		packet[11] = 1
	}
	for _, label := range splitLabels(name) {
		packet = append(append(packet, byte(len(label))), label...)
	}
	packet = binary.BigEndian.AppendUint16(append(packet, 0), kind)
	return append(binary.BigEndian.AppendUint16(packet, classIN), rest...)
}

func splitLabels(name string) (labels []string) {
	start := 0
	for i := range name {
		if name[i] == '.' {
			labels, start = append(labels, name[start:i]), i+1
		}
	}
	return append(labels, name[start:])
}

func TestAQuestionIsAnsweredWithTheAddressAndItself(t *testing.T) {
	opt := []byte{0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0} // EDNS, which Go and others send
	for _, packet := range [][]byte{query("aPi.Example.com", typeA), query("api.example.com", typeA, opt...)} {
		asked, outcome := parseQuestion(packet)
		if outcome != noError || asked.name != "api.example.com" || asked.kind != typeA {
			t.Fatalf("%v %v", asked, outcome)
		}
		answer := reply(packet, asked, noError, netip.MustParseAddr("127.64.0.1"))
		want := append([]byte{0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, asked.wire...)
		want = append(want, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 64, 0, 1)
		if !slices.Equal(answer, want) {
			t.Errorf("%v, want %v", answer, want)
		}
	}
}

func TestWhatIsMalformedIsToldSoOrNotAnswered(t *testing.T) {
	good := query("a.b", typeA)
	change := func(at int, to byte) []byte {
		packet := slices.Clone(good)
		packet[at] = to
		return packet
	}
	for name, test := range map[string]struct {
		packet []byte
		want   rcode
	}{
		"an update":            {change(2, 0x28), notImp},
		"two questions":        {change(5, 2), formErr},
		"no question":          {change(5, 0), formErr},
		"a pointer":            {change(12, 0xc0), formErr},
		"a label that is long": {change(12, 60), formErr},
		"cut in the question":  {good[:len(good)-2], formErr},
		"cut in the name":      {good[:headerBytes+2], formErr},
		"no name":              {good[:headerBytes], formErr},
		"a name without end":   {append(slices.Clone(good[:headerBytes]), make63(8)...), formErr},
	} {
		if _, outcome := parseQuestion(test.packet); outcome != test.want {
			t.Errorf("%s: %d, want %d", name, outcome, test.want)
		}
	}
	r := &resolver{look: func(string, uint16) (netip.Addr, rcode) { t.Error("looked up"); return netip.Addr{}, noError }}
	for name, packet := range map[string][]byte{"short": good[:11], "an answer": change(2, 0x81), "empty": nil} {
		if r.answer(packet) != nil {
			t.Errorf("%s is answered", name)
		}
	}
}

func make63(labels int) (wire []byte) {
	for range labels {
		wire = append(append(wire, 63), make([]byte, 63)...)
	}
	return wire
}

func TestADotWithinALabelIsNotOneBetweenTwo(t *testing.T) {
	packet := query("x", typeA)
	packet = append(packet[:headerBytes], 3, 'a', '.', 'b', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1)
	if asked, _ := parseQuestion(packet); asked.name != `a\046b.com` {
		t.Errorf("%q", asked.name)
	}
}

func TestOnlyAddressesOfVersion4AreGiven(t *testing.T) {
	r := &resolver{look: func(name string, kind uint16) (netip.Addr, rcode) {
		return netip.MustParseAddr("127.64.0.1"), noError
	}}
	const typeAAAA = 28
	for kind, answers := range map[uint16]byte{typeA: 1, typeAAAA: 0, 16: 0, 255: 0} {
		answer := r.answer(query("api.example.com", kind))
		if answer[3]&0xf != byte(noError) || answer[7] != answers {
			t.Errorf("kind %d: outcome %d, %d answers", kind, answer[3]&0xf, answer[7])
		}
	}
}

func TestPortsOfAHostAreThoseOfItsNameAndOfEveryWildcardAboveIt(t *testing.T) {
	read, err := parseRules([]string{"a.b.example.com:1", "*.b.example.com:2", "*.example.com:3", "*.example.com:1", "c.org:4"})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]uint16{
		"a.b.example.com":   {1, 2, 3},
		"x.b.example.com":   {2, 3, 1},
		"b.example.com":     {3, 1},
		"y.x.b.example.com": {2, 3, 1},
		"example.com":       nil,
		"evilexample.com":   nil,
		"c.org":             {4},
		"x.c.org":           nil,
		"com":               nil,
		"":                  nil,
	} {
		if got := read.ports(host); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	for _, wrong := range []string{"a.b", "a.b:", "a.b:0", "a.b:65536", ":1", "a.b:x"} {
		if _, err := parseRules([]string{wrong}); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}
