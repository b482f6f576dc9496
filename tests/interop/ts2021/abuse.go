// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tailscale.com/control/controlbase"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

const hostileAtATime = 64

// abuse tries what must not work; an error names the first thing that did.
func abuse(at, authKey string) error {
	victim, err := newClient(at, "", "victim")
	if err != nil {
		return err
	}
	if got, err := victim.register(authKey); err != nil || !got.MachineAuthorized {
		return fmt.Errorf("the victim did not join: %v %v", got, err)
	}
	first, stream, err := victim.stream()
	if err != nil {
		return err
	}
	defer stream.Close()

	// Who knows a node's key, as all its peers do, but not its machine's.
	thief, err := newClient(at, "", "thief")
	if err != nil {
		return err
	}
	thief.node = victim.node
	if _, _, err := thief.stream(); err == nil {
		return errors.New("another machine got the victim's map")
	}
	if got, err := thief.register(authKey); err == nil && got.MachineAuthorized {
		return errors.New("another machine registered the victim's node key")
	}
	status, _, err := thief.post("/machine/map", tailcfg.MapRequest{
		Version: version, NodeKey: victim.node.Public(), OmitPeers: true})
	if err != nil || status != 404 {
		return fmt.Errorf("another machine's report: %d %v", status, err)
	}
	fmt.Println("other-machine refused")

	// The same words again, on a connection of their own.
	again := *victim
	again.connect()
	got, err := again.register(authKey)
	if err != nil || !got.MachineAuthorized {
		return fmt.Errorf("a register said again: %+v %v", got, err)
	}
	second, stream2, err := again.stream()
	if err != nil {
		return err
	}
	stream2.Close()
	if second.Node.ID != first.Node.ID {
		return fmt.Errorf("a register said again made node %d beside %d", second.Node.ID,
			first.Node.ID)
	}
	fmt.Println("replayed register: the same node")

	// A machine key in a thief's hands, with a node key of his own, and the auth key used up.
	stolen := *victim
	stolen.node = key.NewNode()
	stolen.connect()
	if got, err := stolen.register(""); err == nil && got.MachineAuthorized {
		return errors.New("a machine key alone let another node key in")
	}
	if _, _, err := stolen.stream(); err == nil {
		return errors.New("a machine key alone got a map")
	}
	fmt.Println("stolen machine key: no node of its own")

	for _, path := range []string{"/machine/map", "/machine/register"} {
		status, text, err := thief.post(path, bytes.Repeat([]byte{'['}, 2<<20))
		if err == nil && status != 413 {
			return fmt.Errorf("%s: a body of 2 MiB: %d %s", path, status, text)
		}
		status, text, err = thief.post(path, []byte("{\"Version\": nonsense"))
		if err != nil || status != 400 {
			return fmt.Errorf("%s: nonsense: %d %s %v", path, status, text, err)
		}
		status, text, err = thief.post(path, bytes.Repeat([]byte{'['}, 100000))
		if err != nil || status != 400 {
			return fmt.Errorf("%s: nested deeply: %d %s %v", path, status, text, err)
		}
	}
	fmt.Println("bodies: refused")
	return nil
}

// secure is a handshake without any check, for who has a key and means ill.
func secure(at string, server key.MachinePublic) (net.Conn, error) {
	initiation, finish, err := controlbase.ClientDeferred(key.NewMachine(), server, uint16(version))
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", at, 10*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n"+
		"X-Tailscale-Handshake: %s\r\n\r\n", base64.StdEncoding.EncodeToString(initiation))
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b[0]) {
		if _, err := conn.Read(b); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return finish(context.Background(), conn)
}

var garbage = func() []byte {
	b := make([]byte, 3000)
	rand.Read(b)
	return b
}()

// one is a connection of kind i: most cost the server little, some a handshake.
func one(at string, server key.MachinePublic, i int) error {
	if i%20 == 0 {
		conn, err := secure(at, server)
		if err != nil {
			return err
		}
		defer conn.Close()
		if i%40 == 0 { // HTTP/2, and a stream that is left open
			conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
				"\x00\x00\x0c\x01\x04\x00\x00\x00\x01\x83\x87\x01\x01x\x04\x05/echo"))
		}
		conn.Write(garbage)
		return nil
	}
	conn, err := net.DialTimeout("tcp", at, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch i % 5 {
	case 0: // gone at once
	case 1:
		conn.Write(garbage)
	case 2:
		conn.Write([]byte("GET /key?v=1 HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n"))
	case 3:
		conn.Write([]byte("POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n" +
			"X-Tailscale-Handshake: " + base64.StdEncoding.EncodeToString(garbage[:101]) + "\r\n\r\n"))
	case 4: // reset with a request half sent
		conn.Write([]byte("GET /key HTT"))
		conn.(*net.TCPConn).SetLinger(0)
	}
	return nil
}

// hostile makes n connections, some of them at a time.
func hostile(at string, n int) error {
	c, err := newClient(at, "", "crowd")
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	gate := make(chan bool, hostileAtATime)
	for i := range n {
		gate <- true
		wg.Go(func() {
			defer func() { <-gate }()
			if err := one(at, c.server, i); err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("made %d, of them %d failed\n", n, failed)
	return nil
}
