// SPDX-License-Identifier: Apache-2.0

// Derpclient asks a relay, with tailscale.com's own DERP clients, for one thing a run:
//
//	derpclient -addr IP:PORT -pin sha256-raw:HEX [-mesh HEX] [-key privkey:HEX] CASE
//
// It ends with 0 and perhaps a remark, or with 1 and what was wrong.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

var (
	addr    = flag.String("addr", "", "of the relay")
	pin     = flag.String("pin", "", "certname of the relay")
	meshHex = flag.String("mesh", "", "mesh key")
	keyText = flag.String("key", "", "of the first client; else all are new")
	wait    = 3 * time.Second
)

func quiet(string, ...any) {}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func check(ok bool, format string, args ...any) {
	if !ok {
		must(fmt.Errorf(format, args...))
	}
}

// region is how a node of the mesh dials the relay: by a pin, with a fast start.
func region(k key.NodePrivate, certName string) *derphttp.Client {
	host, port, err := net.SplitHostPort(*addr)
	must(err)
	p, err := strconv.Atoi(port)
	must(err)
	reg := &tailcfg.DERPRegion{RegionID: 900, RegionCode: "lab", Nodes: []*tailcfg.DERPNode{{
		Name: "900a", RegionID: 900, HostName: host, IPv4: host, IPv6: "none", DERPPort: p,
		CertName: certName,
	}}}
	return derphttp.NewRegionClient(k, quiet, netmon.NewStatic(),
		func() *tailcfg.DERPRegion { return reg })
}

type client struct {
	*derp.Client
	nc  net.Conn
	key key.NodePrivate
	got chan derp.ReceivedMessage
}

// dial upgrades by hand, without the fast start, and waits for ServerInfo.
func dial(maxTLS uint16, k key.NodePrivate, opts ...derp.ClientOpt) *client {
	nc, err := tls.Dial("tcp", *addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: maxTLS})
	must(err)
	fmt.Fprintf(nc, "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
	br := bufio.NewReader(nc)
	for line := ""; line != "\r\n"; {
		line, err = br.ReadString('\n')
		must(err)
	}
	dc, err := derp.NewClient(k, nc, bufio.NewReadWriter(br, bufio.NewWriter(nc)), quiet, opts...)
	must(err)
	c := &client{dc, nc, k, make(chan derp.ReceivedMessage, 1000)}
	go c.receive()
	_, ok := c.next().(derp.ServerInfoMessage)
	check(ok, "the first message is no ServerInfo")
	return c
}

func (c *client) receive() {
	for {
		m, err := c.Recv()
		if err != nil {
			close(c.got)
			return
		}
		if p, ok := m.(derp.ReceivedPacket); ok {
			p.Data = bytes.Clone(p.Data)
			m = p
		}
		c.got <- m
	}
}

// next is nil once the connection is closed.
func (c *client) next() derp.ReceivedMessage {
	select {
	case m := <-c.got:
		return m
	case <-time.After(wait):
		must(errors.New("nothing came"))
		return nil
	}
}

func (c *client) nothing() {
	select {
	case m, ok := <-c.got:
		check(false, "came: %T %v (open %v)", m, m, ok)
	case <-time.After(200 * time.Millisecond):
	}
}

func (c *client) pub() key.NodePublic { return c.key.Public() }

func (c *client) wantPacket(from key.NodePublic, data string) {
	m, ok := c.next().(derp.ReceivedPacket)
	check(ok && m.Source == from && string(m.Data) == data, "not the packet %q", data)
}

func (c *client) wantGone(who key.NodePublic, why derp.PeerGoneReasonType) {
	m := c.next()
	g, ok := m.(derp.PeerGoneMessage)
	check(ok && g.Peer == who && g.Reason == why, "not PeerGone(%v): %T %v", why, m, m)
}

func (c *client) wantPresent(who key.NodePublic) derp.PeerPresentMessage {
	m := c.next()
	p, ok := m.(derp.PeerPresentMessage)
	check(ok && p.Key == who, "not PeerPresent of %v: %T %v", who.ShortString(), m, m)
	return p
}

func node(opts ...derp.ClientOpt) *client {
	k := key.NewNode()
	if *keyText != "" {
		must(k.UnmarshalText([]byte(*keyText)))
		*keyText = ""
	}
	return dial(0, k, opts...)
}

func mesh() *client {
	k, err := key.ParseDERPMesh(*meshHex)
	must(err)
	return node(derp.MeshKey(k))
}

// closes sends bytes and expects the relay to close the connection.
func (c *client) closes(what string, frame ...[]byte) {
	_, err := c.nc.Write(bytes.Join(frame, nil))
	must(err)
	check(c.next() == nil, "%s: still open", what)
}

func header(t byte, n int) []byte {
	return []byte{t, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

func raw32(k key.NodePublic) []byte { return k.AppendTo(nil) }

func disco(n int) []byte { return append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, n-6)...) }

func packetsBothWays() {
	a, b := node(), node()
	must(a.Send(b.pub(), []byte("hello")))
	b.wantPacket(a.pub(), "hello")
	must(b.Send(a.pub(), disco(100)))
	a.wantPacket(b.pub(), string(disco(100)))
	must(a.Send(a.pub(), nil))
	a.wantPacket(a.pub(), "")
	for _, n := range []int{1400, 16384, 30000, derp.MaxPacketSize} {
		big := bytes.Repeat([]byte{byte(n)}, n)
		must(a.Send(b.pub(), big))
		b.wantPacket(a.pub(), string(big))
	}
}

func inOrder() {
	a, b := node(), node()
	for i := 0; i < 100; i++ {
		must(a.Send(b.pub(), []byte(strconv.Itoa(i))))
	}
	for i := 0; i < 100; i++ {
		b.wantPacket(a.pub(), strconv.Itoa(i))
	}
}

func tlsVersion(v uint16) func() {
	return func() {
		a, b := dial(v, key.NewNode()), dial(v, key.NewNode())
		state := a.nc.(*tls.Conn).ConnectionState()
		check(state.Version == v, "version %x", state.Version)
		must(a.Send(b.pub(), []byte("x")))
		b.wantPacket(a.pub(), "x")
	}
}

func fastStart() {
	a := region(key.NewNode(), *pin)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	must(a.Connect(ctx))
	state, ok := a.TLSConnectionState()
	check(ok && state.Version == tls.VersionTLS13, "no TLS 1.3")
	certs := state.PeerCertificates
	last := certs[len(certs)-1]
	want := "derpkey" + a.ServerPublicKey().UntypedHexString()
	check(len(certs) == 2 && last.Subject.CommonName == want && last.SerialNumber.Int64() == 2 &&
		last.BasicConstraintsValid && !last.IsCA, "meta certificate %v", last.Subject)
	b := region(key.NewNode(), *pin)
	must(b.Connect(ctx))
	go a.Recv()
	// A client with a fast start is connected before the relay knows of it.
	for up := false; !up; {
		m, err := b.Recv()
		must(err)
		_, up = m.(derp.ServerInfoMessage)
	}
	must(a.Send(b.SelfPublicKey(), []byte("fast")))
	for {
		m, err := b.Recv()
		must(err)
		if p, ok := m.(derp.ReceivedPacket); ok {
			check(string(p.Data) == "fast" && p.Source == a.SelfPublicKey(), "%v", p)
			break
		}
	}
}

func regionPing() {
	a := region(key.NewNode(), *pin)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	must(a.Connect(ctx))
	go func() {
		for {
			if _, err := a.Recv(); err != nil {
				return
			}
		}
	}()
	must(a.Ping(ctx))
}

func wrongPin() {
	a := region(key.NewNode(), "sha256-raw:"+fmt.Sprintf("%064x", 1))
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	check(a.Connect(ctx) != nil, "connected")
}

func ping() {
	a := node()
	must(a.SendPing([8]byte{1, 2, 3, 4, 5, 6, 7, 8}))
	m, ok := a.next().(derp.PongMessage)
	check(ok && m == derp.PongMessage{1, 2, 3, 4, 5, 6, 7, 8}, "%v", m)
	_, err := a.nc.Write(append(header(0x12, 1000), bytes.Repeat([]byte{'x'}, 1000)...))
	must(err)
	m, ok = a.next().(derp.PongMessage)
	check(ok && string(m[:]) == "xxxxxxxx", "%v", m)
}

func skipped() {
	a := node()
	must(a.NotePreferred(true))
	must(a.NotePreferred(false))
	must(a.SendPong([8]byte{1}))
	for _, f := range [][]byte{header(0x06, 0), header(0x77, 0),
		append(header(0x77, 65568), make([]byte, 65568)...),
		append(header(0x02, 100), make([]byte, 100)...)} {
		_, err := a.nc.Write(f)
		must(err)
	}
	must(a.Send(a.pub(), []byte("still here")))
	a.wantPacket(a.pub(), "still here")
}

func notHere() {
	a, nobody := node(), key.NewNode().Public()
	must(a.Send(nobody, []byte("not disco")))
	must(a.Send(nobody, disco(61)))
	a.nothing()
	for i := 0; i < 5; i++ {
		must(a.Send(nobody, disco(62)))
	}
	for i := 0; i < 3; i++ {
		a.wantGone(nobody, derp.PeerGoneReasonNotHere)
	}
	a.nothing()
}

func gone() {
	a, b, c := node(), node(), node()
	must(a.Send(b.pub(), []byte("1")))
	b.wantPacket(a.pub(), "1")
	a.nc.Close()
	b.wantGone(a.pub(), derp.PeerGoneReasonDisconnected)
	c.nothing()
	// It comes again, and goes again.
	again := dial(0, a.key)
	must(again.Send(b.pub(), []byte("2")))
	b.wantPacket(a.pub(), "2")
	again.nc.Close()
	b.wantGone(a.pub(), derp.PeerGoneReasonDisconnected)
	b.nothing()
}

func duplicates() {
	a, first := node(), node()
	second := dial(0, first.key)
	must(a.Send(first.pub(), []byte("to the newest")))
	second.wantPacket(a.pub(), "to the newest")
	first.nothing()
	// Who speaks last is the active one.
	must(first.Send(a.pub(), []byte("me")))
	a.wantPacket(first.pub(), "me")
	time.Sleep(50 * time.Millisecond)
	must(a.Send(first.pub(), []byte("to the speaker")))
	first.wantPacket(a.pub(), "to the speaker")
	first.nc.Close()
	a.nothing()
	must(a.Send(first.pub(), []byte("to what is left")))
	second.wantPacket(a.pub(), "to what is left")
	second.nc.Close()
	a.wantGone(first.pub(), derp.PeerGoneReasonDisconnected)
}

func watch() {
	before := node()
	w := mesh()
	must(w.WatchConnectionChanges())
	seen := map[key.NodePublic]derp.PeerPresentMessage{}
	for i := 0; i < 2; i++ {
		p, ok := w.next().(derp.PeerPresentMessage)
		check(ok, "no PeerPresent")
		seen[p.Key] = p
	}
	p, ok := seen[before.pub()]
	check(ok && p.Flags == derp.PeerPresentIsRegular, "flags %v", p.Flags)
	local := netip.MustParseAddrPort(before.nc.LocalAddr().String())
	check(p.IPPort == local, "%v is not %v", p.IPPort, local)
	check(seen[w.pub()].Flags == derp.PeerPresentIsMeshPeer, "flags of a mesh peer")
	prober := node(derp.IsProber(true))
	check(w.wantPresent(prober.pub()).Flags == derp.PeerPresentIsProber, "flags of a prober")
	before.nc.Close()
	w.wantGone(before.pub(), derp.PeerGoneReasonDisconnected)
}

func forward() {
	m, b, from := mesh(), node(), key.NewNode().Public()
	must(m.ForwardPacket(from, b.pub(), []byte("from afar")))
	b.wantPacket(from, "from afar")
	must(m.ClosePeer(b.pub()))
	check(b.next() == nil, "the peer is still open")
	must(m.ClosePeer(key.NewNode().Public()))
	must(m.SendPing([8]byte{1}))
	_, ok := m.next().(derp.PongMessage)
	check(ok, "the mesh peer was closed")
}

func meshOnly() {
	bad, _ := key.ParseDERPMesh(fmt.Sprintf("%064x", 7))
	node(derp.MeshKey(bad)).closes("WatchConns", header(0x10, 0))
	node().closes("WatchConns", header(0x10, 0))
	node().closes("ClosePeer", header(0x11, 32), make([]byte, 32))
	node().closes("ForwardPacket", header(0x0a, 65), make([]byte, 65))
	mesh().closes("WatchConns of 1 byte", header(0x10, 1), make([]byte, 1))
}

func badLengths() {
	me := node()
	node().closes("SendPacket of 31 bytes", header(4, 31), make([]byte, 31))
	node().closes("SendPacket too long", header(4, 65569), raw32(me.pub()))
	node().closes("NotePreferred of 2", header(7, 2), []byte{1, 0})
	node().closes("Ping of 7", header(0x12, 7), make([]byte, 7))
	node().closes("Ping of 1001", header(0x12, 1001))
	node().closes("unknown too long", header(0x77, 65569))
	node().closes("4 GiB", header(4, -1))
	must(me.Send(me.pub(), []byte("ok")))
	me.wantPacket(me.pub(), "ok")
}

// In the midst of a frame the connection ends: nobody gets a piece of it.
func truncated() {
	a, b := node(), node()
	_, err := a.nc.Write(bytes.Join([][]byte{header(4, 132), raw32(b.pub()), make([]byte, 50)}, nil))
	must(err)
	time.Sleep(50 * time.Millisecond)
	a.nc.Close()
	b.nothing()
}

func badHello() {
	for _, f := range [][]byte{
		append(header(2, 55), make([]byte, 55)...),
		header(2, 262145),
		append(header(4, 40), make([]byte, 40)...),
		append(header(2, 120), make([]byte, 120)...),
		append(append(header(2, 120), raw32(key.NewNode().Public())...), make([]byte, 88)...),
	} {
		nc, err := tls.Dial("tcp", *addr, &tls.Config{InsecureSkipVerify: true})
		must(err)
		fmt.Fprintf(nc, "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: derp\r\nDerp-Fast-Start: 1\r\n\r\n")
		nc.Write(f)
		nc.SetReadDeadline(time.Now().Add(wait))
		got, err := io.ReadAll(nc)
		must(err)
		check(len(got) == 45 && got[0] == 1, "%d bytes came", len(got))
	}
}

// One that does not read must not keep packets from one that does.
func slowReader() {
	a, fast := node(), node()
	slow := key.NewNode()
	nc, err := net.Dial("tcp", *addr)
	must(err)
	nc.(*net.TCPConn).SetReadBuffer(4096)
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	fmt.Fprintf(tc, "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
	br := bufio.NewReader(tc)
	for line := ""; line != "\r\n"; {
		line, err = br.ReadString('\n')
		must(err)
	}
	sc, err := derp.NewClient(slow, tc, bufio.NewReadWriter(br, bufio.NewWriter(tc)), quiet)
	must(err)
	_, err = sc.Recv()
	must(err)
	big := make([]byte, 1400)
	var worst time.Duration
	for i := 0; i < 3000; i++ {
		for j := 0; j < 5; j++ {
			must(a.Send(slow.Public(), big))
		}
		if i%100 == 0 {
			t := time.Now()
			must(a.Send(fast.pub(), []byte(strconv.Itoa(i))))
			fast.wantPacket(a.pub(), strconv.Itoa(i))
			worst = max(worst, time.Since(t))
		}
	}
	check(worst < 500*time.Millisecond, "took %v", worst)
	fmt.Printf("worst %v\n", worst.Round(100*time.Microsecond))
}

// The test ends the relay meanwhile.
func restarting() {
	a := node()
	fmt.Println("ready")
	m, ok := a.next().(derp.ServerRestartingMessage)
	check(ok && m.ReconnectIn > 0 && m.TryFor > m.ReconnectIn, "%v", m)
	check(a.next() == nil, "still open")
}

// A client that says nothing hears from the relay all the same.
func keepAlive() {
	a := node()
	start := time.Now()
	select {
	case m := <-a.got:
		_, ok := m.(derp.KeepAliveMessage)
		took := time.Since(start)
		check(ok && took > 55*time.Second, "%T after %v", m, took)
		fmt.Printf("after %v\n", took.Round(time.Second))
	case <-time.After(70 * time.Second):
		must(errors.New("nothing came"))
	}
	must(a.Send(a.pub(), []byte("still here")))
	a.wantPacket(a.pub(), "still here")
}

func main() {
	flag.Parse()
	cases := map[string]func(){
		"packets": packetsBothWays, "order": inOrder, "tls12": tlsVersion(tls.VersionTLS12),
		"tls13": tlsVersion(tls.VersionTLS13), "fast-start": fastStart, "region-ping": regionPing,
		"wrong-pin": wrongPin, "ping": ping, "skipped": skipped, "not-here": notHere,
		"gone": gone, "duplicates": duplicates, "watch": watch, "forward": forward,
		"mesh-only": meshOnly, "bad-lengths": badLengths, "truncated": truncated,
		"bad-hello": badHello, "slow-reader": slowReader, "restarting": restarting,
		"keep-alive": keepAlive,
	}
	run, ok := cases[flag.Arg(0)]
	check(ok, "no case %q", flag.Arg(0))
	run()
}
