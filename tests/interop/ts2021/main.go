// SPDX-License-Identifier: Apache-2.0

// Ts2021 is the other side of the control protocol's transport, of tailscale.com's own
// controlhttp: a client for our server, a server for our client, and a crowd that means ill.
//
//	ts2021 join -at HOST:PORT [-ca FILE] -key K    join as a client; -ca: over TLS
//	ts2021 abuse -at HOST:PORT -key K              what is not allowed, a line a case
//	ts2021 hostile -at HOST:PORT -n N              N connections of all kinds
//	ts2021 serve -at HOST:PORT [-tls -cert FILE] [-early] [-bomb N]
package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"tailscale.com/control/controlhttp"
	"tailscale.com/control/ts2021"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/zstdframe"
)

const version = tailcfg.CurrentCapabilityVersion

// A client is one machine with one node key.
type client struct {
	at, name string
	roots    *x509.CertPool // nil: plain HTTP
	server   key.MachinePublic
	machine  key.MachinePrivate
	node     key.NodePrivate
	http     *http.Client
}

func newClient(at, ca, name string) (*client, error) {
	c := &client{at: at, name: name, machine: key.NewMachine(), node: key.NewNode()}
	scheme, tr := "http", &http.Transport{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		c.roots = x509.NewCertPool()
		c.roots.AppendCertsFromPEM(text)
		scheme = "https"
		tr.TLSClientConfig = tlsOf(c.roots)
	}
	resp, err := (&http.Client{Transport: tr}).Get(
		fmt.Sprintf("%s://%s/key?v=%d", scheme, at, version))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got tailcfg.OverTLSPublicKeyResponse
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return nil, err
	}
	c.server = got.PublicKey
	c.connect()
	return c, nil
}

// dial is the module's own way to a secured connection.
func (c *client) dial(ctx context.Context, v uint16) (net.Conn, error) {
	host, port, err := net.SplitHostPort(c.at)
	if err != nil {
		return nil, err
	}
	d := &controlhttp.Dialer{
		Hostname: host, HTTPPort: port, HTTPSPort: controlhttp.NoPort,
		MachineKey: c.machine, ControlKey: c.server, ProtocolVersion: v,
		Dialer: (&net.Dialer{}).DialContext,
	}
	if c.roots != nil {
		// Nobody is at the port for plain HTTP, so TLS it is.
		d.HTTPPort, d.HTTPSPort, d.ExtraRootCAs = "9", port, c.roots
	}
	conn, err := d.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return ts2021.NewConn(conn.Conn, func() {}), nil
}

func (c *client) connect() {
	tr := &http.Transport{
		Protocols:       new(http.Protocols),
		MaxConnsPerHost: 1,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.dial(ctx, uint16(version))
		},
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	c.http = &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func (c *client) post(path string, body any) (int, []byte, error) {
	text, ok := body.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	resp, err := c.http.Post("https://"+c.at+path, "application/json", bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (c *client) register(authKey string) (*tailcfg.RegisterResponse, error) {
	req := tailcfg.RegisterRequest{
		Version: version, NodeKey: c.node.Public(),
		Hostinfo: &tailcfg.Hostinfo{OS: "linux", Hostname: c.name},
	}
	if authKey != "" {
		req.Auth = &tailcfg.RegisterResponseAuth{AuthKey: authKey}
	}
	status, text, err := c.post("/machine/register", req)
	if err != nil {
		return nil, err
	}
	got := new(tailcfg.RegisterResponse)
	if status != 200 {
		return nil, fmt.Errorf("register: %d %s", status, text)
	}
	return got, json.Unmarshal(text, got)
}

// stream opens the stream of maps; the first message of it.
func (c *client) stream() (*tailcfg.MapResponse, io.Closer, error) {
	text, err := json.Marshal(tailcfg.MapRequest{
		Version: version, KeepAlive: true, Stream: true, Compress: "zstd",
		NodeKey: c.node.Public(), Hostinfo: &tailcfg.Hostinfo{OS: "linux", Hostname: c.name},
	})
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.http.Post("https://"+c.at+"/machine/map", "application/json", bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != 200 {
		resp.Body.Close()
		return nil, nil, fmt.Errorf("map: %s", resp.Status)
	}
	var header [4]byte
	if _, err := io.ReadFull(resp.Body, header[:]); err != nil {
		return nil, nil, err
	}
	frame := make([]byte, binary.LittleEndian.Uint32(header[:]))
	if _, err := io.ReadFull(resp.Body, frame); err != nil {
		return nil, nil, err
	}
	plain, err := zstdframe.AppendDecode(nil, frame)
	if err != nil {
		return nil, nil, err
	}
	got := new(tailcfg.MapResponse)
	return got, resp.Body, json.Unmarshal(plain, got)
}

func join(at, ca, authKey string) error {
	c, err := newClient(at, ca, "theirs")
	if err != nil {
		return err
	}
	got, err := c.register(authKey)
	if err != nil {
		return err
	}
	if !got.MachineAuthorized {
		return fmt.Errorf("not in: %q %q", got.Error, got.AuthURL)
	}
	m, stream, err := c.stream()
	if err != nil {
		return err
	}
	defer stream.Close()
	fmt.Printf("joined %s %v\n", m.Node.Name, m.Node.Addresses)
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: ts2021 join|abuse|hostile|serve ...")
	}
	f := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	at := f.String("at", "", "HOST:PORT")
	ca := f.String("ca", "", "a certificate to trust: over TLS")
	authKey := f.String("key", "", "auth key")
	n := f.Int("n", 1000, "connections")
	s := &server{}
	tls := f.Bool("tls", false, "serve over TLS")
	f.StringVar(&s.certFile, "cert", "", "file for the certificate")
	f.BoolVar(&s.early, "early", false, "say something in front of HTTP/2")
	f.Int64Var(&s.bomb, "bomb", 0, "MiB that the second message is, inflated")
	f.Parse(os.Args[2:])
	var err error
	switch os.Args[1] {
	case "join":
		err = join(*at, *ca, *authKey)
	case "abuse":
		err = abuse(*at, *authKey)
	case "hostile":
		err = hostile(*at, *n)
	case "serve":
		err = s.serve(*at, *tls)
	default:
		err = fmt.Errorf("no command %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}
