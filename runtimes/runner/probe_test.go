package main

import (
	"net"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// listening is an address where somebody answers.
func listening(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// refusing is an address where nobody listens, but a host answers.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// silent is an address that drops what comes: a listener whose queue is full.
func silent(t *testing.T) string {
	t.Helper()
	address := full(t)
	if conn, err := net.DialTimeout("tcp4", address, 50*time.Millisecond); err == nil {
		conn.Close()
		t.Fatal("the address is not silent")
	}
	return address
}

func TestSilenceBesideAPermittedPortIsIsolation(t *testing.T) {
	found := probe(t.Context(), listening(t), []target{{"kubelet", silent(t)}})
	if !found.Permitted || len(found.Answered) != 0 {
		t.Fatalf("found %+v, expected only the permitted port to answer", found)
	}
}

func TestAConnectionOrARefusalIsAnAnswer(t *testing.T) {
	forbidden := []target{{"kubelet", refusing(t)}, {"apiserver", silent(t)}, {"apiserver", listening(t)}, {"gateway-tripwire", silent(t)}}
	found := probe(t.Context(), listening(t), forbidden)
	if !slices.Equal(found.Answered, []string{"kubelet", "apiserver"}) {
		t.Fatalf("found %v, expected kubelet and apiserver", found.Answered)
	}
}

func TestWithoutThePermittedPortNothingIsKnown(t *testing.T) {
	began := time.Now()
	found := probe(t.Context(), silent(t), []target{{"kubelet", silent(t)}})
	if found.Permitted || len(found.Answered) != 0 {
		t.Fatalf("found %+v, expected neither the one nor the other", found)
	}
	if time.Since(began) < probes*silence {
		t.Fatal("the permitted port was not tried again")
	}
}

func TestTargetsAreReadFromOneVariable(t *testing.T) {
	found := targetsOf("kubelet=10.0.0.1:10250,apiserver=[fd00::1]:443,,junk")
	if !slices.Equal(found, []target{{"kubelet", "10.0.0.1:10250"}, {"apiserver", "[fd00::1]:443"}}) {
		t.Fatalf("found %v", found)
	}
}

// full is the address of a listener that accepts nobody and whose queue has no room.
func full(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(socket, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
	conn, err := net.DialTimeout("tcp4", address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address
}
