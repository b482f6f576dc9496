// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlhttp/controlhttpserver"
	"tailscale.com/control/ts2021"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

func tlsOf(roots *x509.CertPool) *tls.Config { return &tls.Config{RootCAs: roots} }

// A server lets everybody in, as one node that is alone.
type server struct {
	machine  key.MachinePrivate
	certFile string
	early    bool
	bomb     int64 // MiB
	h2       http2.Server
}

func (s *server) serve(at string, overTLS bool) error {
	s.machine = key.NewMachine()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /key", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(tailcfg.OverTLSPublicKeyResponse{PublicKey: s.machine.Public()})
	})
	mux.HandleFunc("POST /ts2021", s.upgrade)
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	if overTLS {
		cert, err := s.certificate(at)
		if err != nil {
			return err
		}
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	srv := &http.Server{Handler: mux,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	return srv.Serve(ln)
}

func (s *server) certificate(at string) (tls.Certificate, error) {
	host, _, _ := net.SplitHostPort(at)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	like := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(host)}}
	der, err := x509.CreateCertificate(rand.Reader, like, like, &private.PublicKey, private)
	if err != nil {
		return tls.Certificate{}, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		os.WriteFile(s.certFile, block, 0o644)
}

// sayEarly writes what may stand in front of HTTP/2.
func (s *server) sayEarly(_ int, w io.Writer) error {
	if !s.early {
		return nil
	}
	text, err := json.Marshal(tailcfg.EarlyNoise{NodeKeyChallenge: key.NewChallenge().Public()})
	if err != nil {
		return err
	}
	out := append([]byte(ts2021.EarlyPayloadMagic), binary.BigEndian.AppendUint32(nil,
		uint32(len(text)))...)
	_, err = w.Write(append(out, text...))
	return err
}

func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, err := controlhttpserver.AcceptHTTP(r.Context(), w, r, s.machine, s.sayEarly)
	if err != nil {
		fmt.Println("upgrade:", err)
		return
	}
	fmt.Printf("secured version=%d tls=%v\n", conn.ProtocolVersion(), r.TLS != nil)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /machine/register", s.register)
	mux.HandleFunc("POST /machine/map", s.streamMap)
	s.h2.ServeConn(conn, &http2.ServeConnOpts{Handler: mux})
}

func (s *server) register(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(tailcfg.RegisterResponse{MachineAuthorized: true})
}

func frame(data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...)
}

// zeros is a message of so many MiB in a few KiB.
func zeros(mib int64) ([]byte, error) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(`{"Domain":"`)); err != nil {
		return nil, err
	}
	chunk := bytes.Repeat([]byte{'a'}, 1<<20)
	for range mib {
		if _, err := w.Write(chunk); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return out.Bytes(), err
}

func (s *server) streamMap(w http.ResponseWriter, r *http.Request) {
	var req tailcfg.MapRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	if !req.Stream {
		return
	}
	address := netip.MustParsePrefix("100.64.0.9/32")
	text, err := json.Marshal(tailcfg.MapResponse{
		Node: &tailcfg.Node{ID: 9, StableID: "n9", Name: "ours.test.", Key: req.NodeKey,
			Addresses: []netip.Prefix{address}, AllowedIPs: []netip.Prefix{address},
			MachineAuthorized: true},
		Domain: "test", Peers: []*tailcfg.Node{},
	})
	if err != nil {
		panic(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	w.Write(frame(enc.EncodeAll(text, nil)))
	w.(http.Flusher).Flush()
	fmt.Println("map sent")
	if s.bomb > 0 {
		data, err := zeros(s.bomb)
		if err != nil {
			panic(err)
		}
		w.Write(frame(data))
		w.(http.Flusher).Flush()
		fmt.Printf("bomb sent, %d bytes\n", len(data))
	}
	<-r.Context().Done()
	fmt.Println("stream over")
}
