// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/types/key"
)

const (
	quietTime  = 2 * time.Second // without a message
	phaseMax   = 150 * time.Second
	changeGap  = 250 * time.Millisecond
	changeWait = 5 * time.Second
)

// A load is all nodes of a run and what they see.
type load struct {
	address   string
	serverKey key.MachinePublic
	authKeys  []string
	nodesMax  int
	nodes     []*node
	isOver    atomic.Bool
	ended     atomic.Int64 // streams, by the server
	failed    atomic.Int64 // joins
	whyFailed atomic.Value // of the last one, a string
	last      atomic.Int64 // when the last message came, UnixNano
	change    atomic.Pointer[change]
	changes   int
}

// A change is one new endpoint on its way to all who watch.
type change struct {
	marker  []byte
	begun   time.Time
	mu      sync.Mutex
	seen    map[int]bool
	latency []float64 // ms
}

func nameOf(index int) string { return fmt.Sprintf("load-%06d", index) }

var nameStart = []byte(`"Name":"load-`)

// onMessage is called for each message of each stream, unpacked.
func (l *load) onMessage(n *node, text []byte) {
	now := time.Now()
	l.last.Store(now.UnixNano())
	if c := l.change.Load(); c != nil && bytes.Contains(text, c.marker) {
		c.mu.Lock()
		if !c.seen[n.index] {
			c.seen[n.index] = true
			c.latency = append(c.latency, float64(now.Sub(c.begun).Microseconds())/1000)
		}
		c.mu.Unlock()
	}
	for rest := text; ; {
		at := bytes.Index(rest, nameStart)
		if at < 0 || len(rest) < at+len(nameStart)+6 {
			return
		}
		rest = rest[at+len(nameStart):]
		if i, err := strconv.Atoi(string(rest[:6])); err == nil && i < len(n.known) &&
			!n.known[i].Swap(true) {
			n.knownN.Add(1)
		}
	}
}

func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return -1
	}
	sorted := append([]float64(nil), v...)
	sort.Float64s(sorted)
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// joined is how one node came in.
type joined struct{ register, firstMap float64 } // ms

// join brings one node in as a stock client comes: register, then its report and its stream
// at once.
func (l *load) join(n *node, authKey string) (joined, error) {
	begun := time.Now()
	n.connect()
	if err := n.register(authKey); err != nil {
		return joined{}, err
	}
	registered := time.Now()
	go n.report()
	if err := n.stream(); err != nil {
		return joined{}, err
	}
	return joined{ms(registered.Sub(begun)), ms(time.Since(begun))}, nil
}

func (l *load) keyOf(index int) string { return l.authKeys[index%len(l.authKeys)] }

func (l *load) note(err error) {
	l.failed.Add(1)
	l.whyFailed.Store(err.Error())
}

// joinAll brings nodes in at an even pace within the time.
func (l *load) joinAll(nodes []*node, within time.Duration, withKey bool) []joined {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var out []joined
	begun := time.Now()
	for i, n := range nodes {
		time.Sleep(time.Until(begun.Add(within * time.Duration(i) / time.Duration(len(nodes)))))
		authKey := ""
		if withKey {
			authKey = l.keyOf(n.index)
		}
		wg.Go(func() {
			j, err := l.join(n, authKey)
			if err != nil {
				l.note(err)
				return
			}
			mu.Lock()
			out = append(out, j)
			mu.Unlock()
		})
	}
	wg.Wait()
	return out
}

// quiet waits until no message came for a while; when the last one came.
func (l *load) quiet() time.Time {
	end := time.Now().Add(phaseMax)
	for time.Now().Before(end) {
		last := time.Unix(0, l.last.Load())
		if time.Since(last) > quietTime {
			return last
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Now()
}

func (l *load) totals() (messages, frameBytes, wireBytes int64) {
	for _, n := range l.nodes {
		messages += n.messages.Load()
		frameBytes += n.bytes.Load()
		if c := n.conn.Load(); c != nil {
			wireBytes += c.bytes.Load()
		}
	}
	return
}

// newEndpoint gives the node another one that nobody had; how it looks in a message.
func (l *load) newEndpoint(n *node) []byte {
	l.changes++
	ep := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(l.changes >> 12)}),
		uint16(10000+l.changes&0xfff))
	n.endpoints = []netip.AddrPort{ep}
	return []byte(`"` + ep.String() + `"`)
}

// fanOut changes one endpoint and waits until `watchers` have it; their latencies.
func (l *load) fanOut(n *node, watchers int) []float64 {
	c := &change{marker: l.newEndpoint(n), seen: map[int]bool{}}
	c.begun = time.Now()
	l.change.Store(c)
	if err := n.report(); err != nil {
		l.note(err)
		return nil
	}
	for end := c.begun.Add(changeWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := len(c.latency)
		c.mu.Unlock()
		if got >= watchers {
			break
		}
	}
	time.Sleep(time.Until(c.begun.Add(changeGap)))
	l.change.Store(nil)
	return c.latency
}

// churn lets the first `of` nodes change in turn, each every `period`.
func (l *load) churn(of int, period, during time.Duration) int {
	of = min(of, len(l.nodes))
	begun := time.Now()
	var wg sync.WaitGroup
	n := 0
	for ; ; n++ {
		at := begun.Add(period * time.Duration(n) / time.Duration(of))
		if at.Sub(begun) >= during {
			break
		}
		time.Sleep(time.Until(at))
		who := l.nodes[n%of]
		l.newEndpoint(who)
		wg.Go(func() {
			if err := who.report(); err != nil {
				l.note(err)
			}
		})
	}
	wg.Wait()
	time.Sleep(time.Until(begun.Add(during)))
	return n
}
