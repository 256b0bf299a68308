// Package egress is the sandbox's only resolver and its only door: each host that a step names gets a loopback address
// of its own, and what connects there goes through a tunnel of the egress proxy. Every other name fails at once. It
// resolves nothing itself and knows no address beyond the sandbox.
package egress

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

const (
	// maxHosts bounds the hosts of one step that have an address: those it names, and those that a wildcard stands for.
	maxHosts = 256
	// maxListeners bounds hosts times ports.
	maxListeners = 512
	// maxTunnels bounds a step's open connections.
	maxTunnels = 100
	// maxSaid bounds the lines that a step's log gets from here.
	maxSaid = 50
)

// Door is open while a step runs that names destinations.
type Door struct {
	resolver *resolver
	proxy    *Proxy

	mu   sync.Mutex
	step *opening
}

// Attempt is for whom the door opens.
type Attempt struct {
	Step        string
	Number      int
	Destination []string          // host:port
	Log         func(line string) // a line of the runner's own in the attempt's log
}

// opening is the door while one attempt runs.
type opening struct {
	attempt   Attempt
	rules     rules
	hosts     map[string]netip.Addr
	listeners []net.Listener
	said      map[string]bool
	tunnels   chan struct{}
	ctx       context.Context
	cut       context.CancelFunc
	running   sync.WaitGroup
	closed    bool
}

var errFull = errors.New("too many hosts")

// Listen answers DNS at the address from now on; no name leads anywhere yet.
func Listen(address string, proxy *Proxy) (*Door, error) {
	door := &Door{proxy: proxy}
	var err error
	door.resolver, err = listenResolver(address, door.look)
	return door, err
}

// Shut ends it all.
func (d *Door) Shut() {
	d.resolver.close()
	d.Close()
}

// Open lets an attempt reach its destinations, until Close.
func (d *Door) Open(attempt Attempt) error {
	read, err := parseRules(attempt.Destination)
	if err != nil {
		return err
	}
	step := &opening{
		attempt: attempt, rules: read, hosts: map[string]netip.Addr{}, said: map[string]bool{},
		tunnels: make(chan struct{}, maxTunnels),
	}
	step.ctx, step.cut = context.WithCancel(context.Background())
	hosts := read.exact()
	slices.Sort(hosts)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, host := range hosts {
		if _, err := d.listen(step, host, read.ports(host)); err != nil {
			step.end()
			return fmt.Errorf("network.egress: %s: %w", host, err)
		}
	}
	d.step = step
	if len(attempt.Destination) > 0 {
		d.proxy.prepare()
	}
	return nil
}

// Close ends what the attempt opened: nothing of it is left for the next one.
func (d *Door) Close() {
	d.mu.Lock()
	step := d.step
	d.step = nil
	if step != nil {
		step.end()
	}
	d.mu.Unlock()
	if step != nil {
		step.running.Wait()
		d.proxy.rest()
	}
}

func (s *opening) end() {
	s.closed = true
	s.cut()
	for _, listener := range s.listeners {
		listener.Close()
	}
}

// look is what the resolver asks.
func (d *Door) look(name string, kind uint16) (netip.Addr, rcode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	step := d.step
	if step == nil || kind == typePTR {
		return netip.Addr{}, nxDomain
	}
	if address, found := step.hosts[name]; found {
		return address, noError
	}
	ports := step.rules.ports(name)
	if len(ports) == 0 {
		step.say(fmt.Sprintf("%.253s is not in network.egress of step %s", name, step.attempt.Step))
		return netip.Addr{}, nxDomain
	}
	address, err := d.listen(step, name, ports)
	if err != nil {
		step.say(fmt.Sprintf("%s cannot be reached: %v", name, err))
		return netip.Addr{}, servFail
	}
	return address, noError
}

// listen gives a host an address, and takes connections there at its ports. With d.mu held.
func (d *Door) listen(step *opening, host string, ports []uint16) (netip.Addr, error) {
	if len(step.hosts) >= maxHosts || len(step.listeners)+len(ports) > maxListeners {
		return netip.Addr{}, errFull
	}
	address := step.address(host)
	opened := make([]net.Listener, 0, len(ports))
	for _, port := range ports {
		listener, err := net.Listen("tcp4", netip.AddrPortFrom(address, port).String())
		if err != nil {
			for _, other := range opened {
				other.Close()
			}
			return netip.Addr{}, err
		}
		opened = append(opened, listener)
	}
	for i, listener := range opened {
		step.running.Add(1)
		go d.accept(step, listener, host, ports[i])
	}
	step.listeners = append(step.listeners, opened...)
	step.hosts[host] = address
	return address, nil
}

// address is where a host is found: the same in every attempt, for a process that serves several may remember it, and
// no other host's. 127.64.0.0/10 is made of the name.
func (s *opening) address(host string) netip.Addr {
	taken := map[netip.Addr]bool{}
	for _, other := range s.hosts {
		taken[other] = true
	}
	hash := sha256.Sum256([]byte(host))
	for number := binary.BigEndian.Uint32(hash[:]); ; number++ {
		found := netip.AddrFrom4([4]byte{127, 64 | byte(number>>16)&63, byte(number >> 8), byte(number)})
		if !taken[found] {
			return found
		}
	}
}

func (d *Door) accept(step *opening, listener net.Listener, host string, port uint16) {
	defer step.running.Done()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		select {
		case step.tunnels <- struct{}{}:
			step.running.Add(1)
			go func() {
				defer func() { <-step.tunnels; step.running.Done() }()
				if err := d.proxy.tunnel(step.ctx, conn.(*net.TCPConn), step.attempt, host, port); err != nil {
					d.told(step, fmt.Sprintf("%s:%d: %v", host, port, err))
				}
			}()
		default:
			reset(conn.(*net.TCPConn))
			d.told(step, fmt.Sprintf("%s:%d: more than %d connections at once", host, port, maxTunnels))
		}
	}
}

func (d *Door) told(step *opening, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	step.say(line)
}

// say puts a line into the attempt's log, once, and not after its end. With d.mu held.
func (s *opening) say(line string) {
	if s.closed || s.said[line] || len(s.said) >= maxSaid {
		return
	}
	s.said[line] = true
	if len(s.said) == maxSaid {
		line += " (what follows of this kind is not logged)"
	}
	s.attempt.Log(line)
}
