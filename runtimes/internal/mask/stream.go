package mask

// automaton is an Aho–Corasick automaton: it finds all occurrences of all patterns in one pass over a stream,
// whatever their number and overlap. Children are sibling lists, because most nodes have one.
type automaton struct {
	char    []byte
	child   []int32
	sibling []int32
	fail    []int32
	depth   []int32
	longest []int32 // length of the longest pattern that ends here, 0 for none
	root    [256]int32
}

func newAutomaton(patterns []string) *automaton {
	a := &automaton{}
	a.add(0, 0) // the root is node 0, so 0 also means "no child"
	for _, pattern := range patterns {
		node := int32(0)
		for i := 0; i < len(pattern); i++ {
			next := a.step(node, pattern[i])
			if next == 0 {
				next = a.add(pattern[i], a.depth[node]+1)
				if node == 0 {
					a.root[pattern[i]] = next
				} else {
					a.sibling[next] = a.child[node]
				}
				a.child[node] = next
			}
			node = next
		}
		a.longest[node] = int32(len(pattern))
	}
	a.link()
	return a
}

func (a *automaton) add(char byte, depth int32) int32 {
	a.char = append(a.char, char)
	a.child = append(a.child, 0)
	a.sibling = append(a.sibling, 0)
	a.fail = append(a.fail, 0)
	a.depth = append(a.depth, depth)
	a.longest = append(a.longest, 0)
	return int32(len(a.char) - 1)
}

// step is the child of node for char, 0 when there is none.
func (a *automaton) step(node int32, char byte) int32 {
	if node == 0 {
		return a.root[char]
	}
	next := a.child[node]
	for next != 0 && a.char[next] != char {
		next = a.sibling[next]
	}
	return next
}

// next is the state after char in state.
func (a *automaton) next(state int32, char byte) int32 {
	for {
		if next := a.step(state, char); next != 0 {
			return next
		}
		if state == 0 {
			return 0
		}
		state = a.fail[state]
	}
}

// link sets the failure links, breadth first.
func (a *automaton) link() {
	var queue []int32
	for _, node := range a.root {
		if node != 0 {
			queue = append(queue, node)
		}
	}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for child := a.child[node]; child != 0; child = a.sibling[child] {
			a.fail[child] = a.next(a.fail[node], a.char[child])
			a.longest[child] = max(a.longest[child], a.longest[a.fail[child]])
			queue = append(queue, child)
		}
	}
}

// held is how many of the last bytes may still become (part of) a pattern.
func (a *automaton) held(state int32) int {
	for a.child[state] == 0 {
		state = a.fail[state]
	}
	return int(a.depth[state])
}

// Stream hides secrets in one stream of bytes, across the borders of its pieces. The last bytes are held back only
// while they are the beginning of a secret, so that live output stays live.
type Stream struct {
	automaton *automaton
	state     int32
	pending   []byte
	spans     []span // in pending
}

// span is a range of bytes to hide. Its placeholder may have been written already, with an earlier part of it.
type span struct {
	from, to int
	written  bool
}

// Write takes the next piece and returns what may leave now. The result may alias data.
func (s *Stream) Write(data []byte) []byte {
	if s.automaton == nil {
		return data
	}
	buffer := append(s.pending, data...)
	for i := len(s.pending); i < len(buffer); i++ {
		s.state = s.automaton.next(s.state, buffer[i])
		if length := int(s.automaton.longest[s.state]); length > 0 {
			s.hide(span{from: i + 1 - length, to: i + 1})
		}
	}
	return s.release(buffer, len(buffer)-s.automaton.held(s.state))
}

// Flush returns what was held back: the stream has ended.
func (s *Stream) Flush() []byte {
	s.state = 0
	return s.release(s.pending, len(s.pending))
}

// hide adds a span that ends behind all others, merging it with those it overlaps.
func (s *Stream) hide(added span) {
	last := len(s.spans) - 1
	for ; last >= 0 && added.from < s.spans[last].to; last-- {
		added.from = min(added.from, s.spans[last].from)
		added.written = added.written || s.spans[last].written
	}
	s.spans = append(s.spans[:last+1], added)
}

// release returns buffer up to limit with its spans hidden, and keeps the rest.
func (s *Stream) release(buffer []byte, limit int) []byte {
	out := make([]byte, 0, limit)
	at := 0
	var kept []span
	for _, hidden := range s.spans {
		if hidden.from < limit {
			out = append(out, buffer[at:hidden.from]...)
			if !hidden.written {
				out = append(out, Placeholder...)
			}
			at = min(hidden.to, limit)
		}
		if hidden.to > limit {
			kept = append(kept, span{max(hidden.from-limit, 0), hidden.to - limit, hidden.from < limit || hidden.written})
		}
	}
	out = append(out, buffer[at:limit]...)
	s.pending = append([]byte(nil), buffer[limit:]...)
	s.spans = kept
	return out
}
