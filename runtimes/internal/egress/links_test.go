package egress

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

func TestALinkThatTheProxyHasClosedMeanwhileCostsNoConnection(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	for range 3 {
		if answer, err := w.say(apiAddress+":15443", "ping"); answer != "hello ping bye" || err != nil {
			t.Fatalf("%q %v", answer, err)
		}
		eventually(t, "kept", func() bool { return w.waiting() > 0 })
		w.proxy.cut()
	}
}

func TestATunnelThatBreaksIsNoAnswerAndItsLinkIsNotKept(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	conn := w.connected()
	eventually(t, "opened ahead", func() bool { return w.waiting() > 0 })
	w.proxy.cut()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the end of a link is told as %v", err)
	}
	if answer, err := w.say(apiAddress+":15443", "ping"); answer != "hello ping bye" || err != nil {
		t.Errorf("%q %v", answer, err)
	}
}

func TestOneLinkWaitsForTheNextStep(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	for range 3 {
		w.connected().(*net.TCPConn).CloseWrite()
	}
	eventually(t, "kept", func() bool { return w.waiting() > 1 })
	w.door.Close()
	if left := w.waiting(); left != 1 {
		t.Errorf("%d links wait", left)
	}
}

func TestMuchDataArrivesAsItWas(t *testing.T) {
	w := newWorld(t)
	w.open("api.example.com:15443")
	sent := strings.Repeat("0123456789abcdef-", 3*frameBytes/17)
	for range 2 {
		if answer, err := w.say(apiAddress+":15443", sent); answer != "hello "+sent+" bye" || err != nil {
			t.Fatalf("%d bytes, %v", len(answer), err)
		}
	}
}
