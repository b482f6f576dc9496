// SPDX-License-Identifier: Apache-2.0

// Coordload is a crowd of nodes for one coordinator, of tailscale.com's own transport and
// messages. It plays the phases that it is told, one after the other, and prints what it saw
// and what the server took as one JSON object:
//
//	join     -nodes come in within -within, each with an auth key
//	offline  -nodes register, 16 at a time, and are never there; then five join
//	fanout   one endpoint changes, and again, while all watch
//	churn    80 nodes change every ten seconds
//	idle     nothing happens
//	rejoin   all are cut and come back within ten seconds
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
)

const (
	joinsMeasured = 5
	churnNodes    = 80
	churnPeriod   = 10 * time.Second
	rejoinWithin  = 10 * time.Second
)

type run struct {
	l      *load
	pid    int
	empty  float64 // KiB of the server before anybody came
	within time.Duration
	out    map[string]float64
	arg    struct {
		changes     int
		churn, idle time.Duration
	}
}

func (l *load) fetchKey() error {
	resp, err := http.Get(fmt.Sprintf("http://%s/key?v=%d", l.address, version))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var got tailcfg.OverTLSPublicKeyResponse
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	l.serverKey = got.PublicKey
	return nil
}

func (r *run) put(prefix string, name string, v float64) { r.out[prefix+"."+name] = v }

func (r *run) putJoins(phase string, got []joined) {
	var register, first []float64
	for _, j := range got {
		register = append(register, j.register)
		first = append(first, j.firstMap)
	}
	r.put(phase, "joined", float64(len(got)))
	r.put(phase, "register_p50_ms", percentile(register, .5))
	r.put(phase, "register_p99_ms", percentile(register, .99))
	r.put(phase, "first_map_p50_ms", percentile(first, .5))
	r.put(phase, "first_map_p99_ms", percentile(first, .99))
}

func (r *run) putMemory(phase string) {
	n := float64(len(r.l.nodes))
	r.put(phase, "rss_kib_node", (memory(r.pid, "VmRSS")-r.empty)/n)
	r.put(phase, "peak_kib_node", (memory(r.pid, "VmHWM")-r.empty)/n)
}

// storm lets nodes come in and waits for quiet.
func (r *run) storm(phase string, nodes []*node, within time.Duration, withKey bool) {
	ended := r.l.ended.Load()
	messages, _, _ := r.l.totals()
	begun, before := time.Now(), cpu(r.pid)
	got := r.l.joinAll(nodes, within, withKey)
	took := cpu(r.pid) - before
	wall := time.Since(begun)
	lastJoin := time.Now()
	quiet := r.l.quiet()
	whole := cpu(r.pid) - before
	after, _, _ := r.l.totals()
	known := 0.0
	for _, n := range nodes {
		known += float64(n.knownN.Load())
	}
	r.putJoins(phase, got)
	r.put(phase, "cpu_percent", 100*took.Seconds()/wall.Seconds())
	r.put(phase, "cpu_ms_node", ms(whole)/float64(len(nodes)))
	r.put(phase, "messages", float64(after-messages))
	r.put(phase, "quiet_s", max(0, quiet.Sub(lastJoin).Seconds()))
	r.put(phase, "known", known/float64(len(nodes)))
	r.put(phase, "streams_ended", float64(r.l.ended.Load()-ended))
	r.putMemory(phase)
}

func (r *run) join() { r.storm("join", r.l.nodes, r.within, true) }

func (r *run) rejoin() {
	for _, n := range r.l.nodes {
		n.cut()
	}
	time.Sleep(time.Second)
	r.storm("rejoin", r.l.nodes, rejoinWithin, false)
}

func (r *run) offline() {
	var wg sync.WaitGroup
	gate := make(chan bool, 16)
	begun := time.Now()
	for _, n := range r.l.nodes {
		gate <- true
		wg.Go(func() {
			defer func() { <-gate }()
			n.connect()
			err := n.register(r.l.keyOf(n.index))
			if err == nil {
				err = n.report()
			}
			if err != nil {
				r.l.note(err)
			}
			n.cut()
		})
	}
	wg.Wait()
	r.put("offline", "register_all_s", time.Since(begun).Seconds())
	time.Sleep(2 * time.Second)
	var got []joined
	var took []float64
	for i := range joinsMeasured {
		n := newNode(r.l, len(r.l.nodes)+i)
		before := cpu(r.pid)
		j, err := r.l.join(n, r.l.keyOf(n.index))
		if err != nil {
			r.l.note(err)
			continue
		}
		time.Sleep(time.Second)
		took = append(took, ms(cpu(r.pid)-before))
		got = append(got, j)
	}
	r.putJoins("offline", got)
	r.put("offline", "cpu_ms_join", percentile(took, .5))
}

func (r *run) fanout() {
	var all []float64
	r.l.quiet()
	_, frames, wire := r.l.totals()
	before := cpu(r.pid)
	who, watchers := r.l.nodes[0], 0
	for _, n := range r.l.nodes[1:] {
		if n.known[0].Load() {
			watchers++
		}
	}
	if watchers == 0 {
		log.Fatal("nobody sees the first node")
	}
	for range r.arg.changes {
		all = append(all, r.l.fanOut(who, watchers)...)
	}
	took := cpu(r.pid) - before
	_, framesAfter, wireAfter := r.l.totals()
	each := float64(r.arg.changes * watchers)
	r.put("fanout", "watchers", float64(watchers))
	r.put("fanout", "seen", float64(len(all))/float64(r.arg.changes))
	r.put("fanout", "p50_ms", percentile(all, .5))
	r.put("fanout", "p99_ms", percentile(all, .99))
	r.put("fanout", "cpu_us", float64(took.Microseconds())/each)
	r.put("fanout", "bytes", float64(framesAfter-frames)/each)
	r.put("fanout", "wire_bytes", float64(wireAfter-wire)/each)
}

func (r *run) churn() {
	r.l.quiet()
	ended := r.l.ended.Load()
	before := cpu(r.pid)
	n := r.l.churn(churnNodes, churnPeriod, r.arg.churn)
	took := cpu(r.pid) - before
	r.put("churn", "changes_s", float64(n)/r.arg.churn.Seconds())
	r.put("churn", "cpu_percent", 100*took.Seconds()/r.arg.churn.Seconds())
	r.put("churn", "streams_ended", float64(r.l.ended.Load()-ended))
}

func (r *run) idle() {
	r.l.quiet()
	before := cpu(r.pid)
	time.Sleep(r.arg.idle)
	r.put("idle", "cpu_percent", 100*(cpu(r.pid)-before).Seconds()/r.arg.idle.Seconds())
	r.putMemory("idle")
}

func main() {
	r := run{out: map[string]float64{}}
	server := flag.String("server", "", "ADDR:PORT of the coordinator, plain HTTP")
	flag.IntVar(&r.pid, "pid", 0, "its process")
	keys := flag.String("keys", "", "auth keys, separated by commas; node i takes number i modulo how many")
	nodes := flag.Int("nodes", 100, "how many come")
	flag.DurationVar(&r.within, "within", 10*time.Second, "for all to come")
	flag.IntVar(&r.arg.changes, "changes", 20, "of fanout")
	flag.DurationVar(&r.arg.churn, "churn", 20*time.Second, "how long")
	flag.DurationVar(&r.arg.idle, "idle", 20*time.Second, "how long")
	flag.Parse()
	log.SetFlags(0)
	debug.SetGCPercent(400)

	r.l = &load{address: *server, authKeys: strings.Split(*keys, ","),
		nodesMax: *nodes + joinsMeasured}
	if err := r.l.fetchKey(); err != nil {
		log.Fatal(err)
	}
	r.empty = memory(r.pid, "VmRSS")
	for i := range *nodes {
		r.l.nodes = append(r.l.nodes, newNode(r.l, i))
	}
	phases := map[string]func(){"join": r.join, "offline": r.offline, "fanout": r.fanout,
		"churn": r.churn, "idle": r.idle, "rejoin": r.rejoin}
	for _, name := range flag.Args() {
		if phases[name] == nil {
			log.Fatalf("no phase %q", name)
		}
		phases[name]()
	}
	r.l.isOver.Store(true)
	r.put("all", "failed", float64(r.l.failed.Load()))
	if why, ok := r.l.whyFailed.Load().(string); ok {
		log.Print(why)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r.out); err != nil {
		log.Fatal(err)
	}
}
