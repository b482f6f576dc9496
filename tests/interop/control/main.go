// SPDX-License-Identifier: Apache-2.0

// Control is the coordinator that tailscaled needs to be the other side of a test or a
// comparison: tailscale.com's own test control server with one DERP relay and a STUN
// responder beside it. It allows everything, remembers nothing, approves every route that
// a node advertises, and is meant for namespaces only.
//
// The same server stands on -tls-port with a certificate of its own (-cert writes it), and
// tests steer it by POST: /lab/complete?url=U finishes the login at U, /lab/expire?on=true
// tells all nodes that their keys have expired.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// certificate makes a self-signed one for the relay; nodes do not check it.
func certificate(ip string) (tls.Certificate, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, err
}

func serveSTUN(c *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		tx, err := stun.ParseBindingRequest(buf[:n])
		if err != nil {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		c.WriteToUDPAddrPort(stun.Response(tx, from), from)
	}
}

// approveRoutes gives each node the subnet routes it asks for.
func approveRoutes(s *testcontrol.Server) {
	done := map[key.NodePublic]bool{}
	for range time.Tick(100 * time.Millisecond) {
		for _, n := range s.AllNodes() {
			if done[n.Key] || !n.Hostinfo.Valid() || n.Hostinfo.RoutableIPs().Len() == 0 {
				continue
			}
			done[n.Key] = true
			s.SetSubnetRoutes(n.Key, n.Hostinfo.RoutableIPs().AsSlice())
		}
	}
}

// steered is the coordinator with the paths for tests in front.
func steered(s *testcontrol.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /lab/complete", func(w http.ResponseWriter, r *http.Request) {
		if !s.CompleteAuth(r.FormValue("url")) {
			http.Error(w, "no such login", http.StatusNotFound)
		}
	})
	mux.HandleFunc("POST /lab/expire", func(w http.ResponseWriter, r *http.Request) {
		s.SetExpireAllNodes(r.FormValue("on") == "true")
	})
	mux.Handle("/", s)
	return mux
}

func serveTLS(addr string, cert tls.Certificate, file string, h http.Handler) {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := os.WriteFile(file, block, 0o644); err != nil {
		log.Fatal(err)
	}
	ln, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: h,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	log.Fatal(srv.Serve(ln))
}

func main() {
	ip := flag.String("ip", "127.0.0.1", "address to listen on and to tell the nodes")
	port := flag.String("port", "8080", "TCP port of the coordinator (plain HTTP)")
	tlsPort := flag.String("tls-port", "", "TCP port of the coordinator with TLS")
	certFile := flag.String("cert", "", "file for the certificate of -tls-port")
	auth := flag.Bool("auth", false, "let nodes in at a URL only")
	authKey := flag.String("auth-key", "", "let nodes in with this key only")
	flag.Parse()

	cert, err := certificate(*ip)
	if err != nil {
		log.Fatal(err)
	}
	derp := derpserver.New(key.NewNode(), logger.Discard)
	ln, err := tls.Listen("tcp", net.JoinHostPort(*ip, "3443"),
		&tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	// HTTP/1 only: the relay takes the connection over.
	relay := &http.Server{Handler: derpserver.Handler(derp),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go func() { log.Fatal(relay.Serve(ln)) }()

	uc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(*ip), Port: 3478})
	if err != nil {
		log.Fatal(err)
	}
	go serveSTUN(uc)

	control := &testcontrol.Server{
		Logf:             logger.Discard,
		ExplicitBaseURL:  "http://" + net.JoinHostPort(*ip, *port),
		AllNodesSameUser: true,
		AllOnline:        true,
		RequireAuth:      *auth,
		RequireAuthKey:   *authKey,
		DERPMap: &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: {
			RegionID: 1, RegionCode: "lab", RegionName: "lab",
			Nodes: []*tailcfg.DERPNode{{Name: "1a", RegionID: 1, HostName: *ip, IPv4: *ip,
				IPv6: "none", DERPPort: 3443, STUNPort: 3478, STUNTestIP: *ip,
				InsecureForTests: true}},
		}}},
	}
	go approveRoutes(control)
	h := steered(control)
	if *tlsPort != "" {
		go serveTLS(net.JoinHostPort(*ip, *tlsPort), cert, *certFile, h)
	}
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*ip, *port), h))
}
