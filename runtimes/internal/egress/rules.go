package egress

import (
	"fmt"
	"strconv"
	"strings"
)

// rules are a step's destinations, by host: an exact one, or a wildcard without its star (".example.com").
type rules map[string][]uint16

// parseRules reads destinations as an assignment has them.
func parseRules(destinations []string) (rules, error) {
	read := rules{}
	for _, destination := range destinations {
		host, text, found := strings.Cut(destination, ":")
		port, err := strconv.ParseUint(text, 10, 16)
		if !found || err != nil || port == 0 || host == "" {
			return nil, fmt.Errorf("network.egress: found %q, expected host:port", destination)
		}
		host = strings.TrimPrefix(host, "*")
		read[host] = append(read[host], uint16(port))
	}
	return read, nil
}

// ports are those at which a host may be reached; none when it may not be reached at all.
func (r rules) ports(host string) []uint16 {
	var found []uint16
	seen := map[uint16]bool{}
	for at := host; ; {
		for _, port := range r[at] {
			if !seen[port] {
				seen[port], found = true, append(found, port)
			}
		}
		// Every wildcard above the host stands for it: a.b.example.com is .b.example.com and .example.com too.
		next := strings.IndexByte(strings.TrimPrefix(at, "."), '.')
		if next < 0 {
			return found
		}
		at = strings.TrimPrefix(at, ".")[next:]
	}
}

// exact are the hosts that are named as they are.
func (r rules) exact() []string {
	var hosts []string
	for host := range r {
		if !strings.HasPrefix(host, ".") {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
