// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/control/controlbase"
	"tailscale.com/control/ts2021"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/zstdframe"
)

const (
	version    = tailcfg.CurrentCapabilityVersion
	messageMax = 64 << 20
)

// A node is what a stock client is to its coordinator: one connection, a register, a report
// of its own, and the stream of maps. It reads and unpacks its messages and looks at them,
// but does not decode them.
type node struct {
	load      *load
	index     int
	machine   key.MachinePrivate
	key       key.NodePrivate
	disco     key.DiscoPublic
	home      int
	endpoints []netip.AddrPort

	client   *http.Client
	conn     atomic.Pointer[countedConn]
	known    []atomic.Bool // by index, whom a message named
	knownN   atomic.Int32
	messages atomic.Int64
	bytes    atomic.Int64 // of messages with their headers, as they came
	isClosed atomic.Bool
}

func newNode(l *load, index int) *node {
	return &node{
		load: l, index: index,
		machine: key.NewMachine(), key: key.NewNode(), disco: key.NewDisco().Public(), home: 1,
		endpoints: []netip.AddrPort{netip.AddrPortFrom(
			netip.AddrFrom4([4]byte{192, 168, byte(index >> 8), byte(index)}), 41641)},
		known: make([]atomic.Bool, l.nodesMax),
	}
}

// A countedConn knows how many bytes came.
type countedConn struct {
	net.Conn
	r     io.Reader
	bytes atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// dial makes a connection and secures it, over plain HTTP.
func (n *node) dial(ctx context.Context) (net.Conn, error) {
	initiation, finish, err := controlbase.ClientDeferred(n.machine, n.load.serverKey, uint16(version))
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", n.load.address)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(raw, "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\n"+
		"Upgrade: tailscale-control-protocol\r\nContent-Length: 0\r\n"+
		"X-Tailscale-Handshake: %s\r\n\r\n",
		n.load.address, base64.StdEncoding.EncodeToString(initiation))
	br := bufio.NewReader(raw)
	resp, err := http.ReadResponse(br, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("upgrade: %s", resp.Status)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	counted := &countedConn{Conn: raw, r: br}
	noise, err := finish(ctx, counted)
	if err != nil {
		raw.Close()
		return nil, err
	}
	n.conn.Store(counted)
	return ts2021.NewConn(noise, func() {}), nil
}

func (n *node) connect() {
	n.isClosed.Store(false)
	tr := &http.Transport{
		Protocols:       new(http.Protocols),
		MaxConnsPerHost: 1,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return n.dial(ctx)
		},
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	n.client = &http.Client{Transport: tr}
}

// cut ends the connection as a crash does.
func (n *node) cut() {
	n.isClosed.Store(true)
	if c := n.conn.Load(); c != nil {
		c.Close()
	}
}

func (n *node) post(path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	resp, err := n.client.Post("https://"+n.load.address+path, "application/json", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s: %s", path, resp.Status, why)
	}
	return resp, nil
}

func (n *node) hostinfo() *tailcfg.Hostinfo {
	return &tailcfg.Hostinfo{
		IPNVersion: "1.102.3", OS: "linux", OSVersion: "6.1", Hostname: nameOf(n.index),
		GoArch: "amd64", GoVersion: "go1.26", Machine: "x86_64", BackendLogID: "",
		NetInfo: &tailcfg.NetInfo{PreferredDERP: n.home},
	}
}

// register with an auth key, or without one again.
func (n *node) register(authKey string) error {
	req := tailcfg.RegisterRequest{
		Version: version, NodeKey: n.key.Public(), Hostinfo: n.hostinfo(),
		NLKey: key.NewNLPrivate().Public(),
	}
	if authKey != "" {
		req.Auth = &tailcfg.RegisterResponseAuth{AuthKey: authKey}
	}
	resp, err := n.post("/machine/register", req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var got tailcfg.RegisterResponse
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return err
	}
	if !got.MachineAuthorized {
		return fmt.Errorf("register: %q %q", got.Error, got.AuthURL)
	}
	return nil
}

func (n *node) mapRequest() tailcfg.MapRequest {
	return tailcfg.MapRequest{
		Version: version, KeepAlive: true, NodeKey: n.key.Public(), DiscoKey: n.disco,
		Endpoints: n.endpoints, EndpointTypes: []tailcfg.EndpointType{tailcfg.EndpointLocal},
		Hostinfo: n.hostinfo(), Compress: "zstd",
	}
}

// report tells the coordinator of the node's own state.
func (n *node) report() error {
	req := n.mapRequest()
	req.OmitPeers = true
	resp, err := n.post("/machine/map", req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// stream opens the stream and returns when its first message was read; the rest is read
// behind it, and a stream that ends is opened again.
func (n *node) stream() error {
	first := make(chan error, 1)
	go func() {
		err := n.readStream(func() { first <- nil })
		if err != nil {
			select {
			case first <- err:
			default:
			}
		}
		for !n.isClosed.Load() && !n.load.isOver.Load() {
			n.load.ended.Add(1)
			time.Sleep(time.Second)
			n.readStream(func() {})
		}
	}()
	return <-first
}

func (n *node) readStream(onFirst func()) error {
	req := n.mapRequest()
	req.Stream = true
	resp, err := n.post("/machine/map", req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var once sync.Once
	var header [4]byte
	var frame, text []byte
	for {
		if _, err := io.ReadFull(resp.Body, header[:]); err != nil {
			return err
		}
		size := int(binary.LittleEndian.Uint32(header[:]))
		if size > messageMax {
			return errors.New("a message that is too large")
		}
		if cap(frame) < size {
			frame = make([]byte, size)
		}
		frame = frame[:size]
		if _, err := io.ReadFull(resp.Body, frame); err != nil {
			return err
		}
		text, err = zstdframe.AppendDecode(text[:0], frame, zstdframe.MaxDecodedSize(messageMax))
		if err != nil {
			return err
		}
		n.messages.Add(1)
		n.bytes.Add(int64(size) + 4)
		once.Do(onFirst)
		n.load.onMessage(n, text)
		if cap(text) > 1<<16 {
			frame, text = nil, nil // the large first one
		}
	}
}
