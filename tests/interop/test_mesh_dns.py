#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that MagicDNS of a gateway of ours says what stock tailscaled says for the same mesh, over
UDP and TCP, to the gateway itself and to a host of its LAN; and that split DNS asks the resolver
that the coordinator names."""

import base64
import http.client as http_client
import ipaddress
import json
import os
import socket
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, tool, wait_for  # noqa: E402
from nodes import CausewayControl, CausewayMesh, foreign  # noqa: E402
from topology import Sites  # noqa: E402

A, NS, SOA, PTR, MX, AAAA, SRV = 1, 2, 6, 12, 15, 28, 33
SERVICE4, SERVICE6 = "100.100.100.100", "fd7a:115c:a1e0::53"
RESOLVER = "10.254.0.1"

DNS = """{
  "routes": {"corp.example": ["%s:5353"], "home.example": []},
  "extra_records": [
    {"name": "db.lab.example", "value": "192.0.2.77"},
    {"name": "six.lab.example", "type": "AAAA", "value": "2001:db8::77"},
    {"name": "two.lab.example", "value": "192.0.2.1"},
    {"name": "two.lab.example", "value": "192.0.2.2"},
  ],
}
""" % RESOLVER

# Asks questions of a server and prints each reply in hex: server, then lines "tcp|udp message".
ASK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
for line in sys.stdin:
    how, msg = line.split()
    msg = bytes.fromhex(msg)
    s = socket.socket(family, socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(7)
    s.connect((sys.argv[1], 53))
    if how == "tcp":
        s.sendall(len(msg).to_bytes(2, "big") + msg)
        f = s.makefile("rb")
        print(f.read(int.from_bytes(f.read(2), "big")).hex())
    else:
        s.send(msg)
        print(s.recv(65535).hex())
    s.close()
"""

# A resolver that has 192.0.2.99 for every name, over UDP only the half of names with "big".
UPSTREAM = """
import socket, threading
def answer(q, tcp):
    end = q.index(0, 12) + 5
    cut = not tcp and b"big" in q
    n = 0 if cut else 60 if b"big" in q else 1
    head = q[:2] + bytes([0x81 | (2 if cut else 0), 0x80]) + b"\\0\\1" + n.to_bytes(2, "big") + b"\\0\\0\\0\\0"
    return head + q[12:end] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\x63" * n
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
t.bind(("%s", 5353)); t.listen(8)
def tcp():
    while True:
        c, _ = t.accept()
        n = int.from_bytes(c.recv(2), "big"); r = answer(c.recv(n), True)
        c.sendall(len(r).to_bytes(2, "big") + r); c.close()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("%s", 5353))
print("ready", flush=True)
while True:
    q, a = u.recvfrom(4096)
    u.sendto(answer(q, False), a)
""" % (RESOLVER, RESOLVER)


def query(name, kind):
    return struct.pack("!6H", 0x4711, 0x0100, 1, 0, 0, 0) + b"".join(
        bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0" + struct.pack(
        "!2H", kind, 1)


def read_name(msg, at):
    """(name, offset behind it)"""
    out, end = [], None
    while msg[at]:
        if msg[at] >= 0xc0:
            end = end or at + 2
            at = (msg[at] & 0x3f) << 8 | msg[at + 1]
        else:
            out.append(msg[at + 1:at + 1 + msg[at]].decode())
            at += 1 + msg[at]
    return ".".join(out).lower(), end or at + 1


def meaning(msg):
    """(rcode, authoritative, cut, answers as (type, ttl, value), zone and ttl of the SOA)"""
    _, flags, _, answers, authorities, _ = struct.unpack("!6H", msg[:12])
    at = read_name(msg, 12)[1] + 4
    got, soa = [], []
    for i in range(answers + authorities):
        owner, at = read_name(msg, at)
        kind, _, ttl, n = struct.unpack("!HHIH", msg[at:at + 10])
        at += 10
        if kind in (A, AAAA):
            value = str(ipaddress.ip_address(msg[at:at + n]))
        else:
            value = read_name(msg, at)[0]
        if i < answers:
            got.append((kind, ttl, value))
        elif kind == SOA:
            soa.append((owner, ttl))
        at += n
    return flags & 15, bool(flags & 0x400), bool(flags & 0x200), got, soa


class Stock:
    """A tailscaled in userspace: asked over its LocalAPI it changes nothing of the machine."""

    def __init__(self, lab, site, control):
        self.ns, self.dir = site.gw, lab.path("stock", "sock")
        folder = os.path.dirname(self.dir)
        self.sock = self.dir
        site.gw.start("tailscaled", [
            foreign("tailscaled"), "--statedir=" + folder, "--state=" + folder + "/state",
            "--socket=" + self.sock, "--tun=userspace-networking", "--port=0"],
            env={"TS_NO_LOGS_NO_SUPPORT": "true"})
        wait_for(lambda: os.path.exists(self.sock), 15, "tailscaled's socket")
        self.ns.sh(foreign("tailscale"), "--socket=" + self.sock, "up", "--timeout=20s",
                   "--login-server=" + control.url, "--hostname=stock", "--accept-dns=true",
                   "--auth-key=" + control.auth_key, timeout=30)

    def says(self, name, kind):
        kinds = {A: "A", AAAA: "AAAA", PTR: "PTR", MX: "MX", NS: "NS", SOA: "SOA", SRV: "SRV"}
        http = http_client.HTTPConnection("local-tailscaled.sock", timeout=10)
        http.sock = socket.socket(socket.AF_UNIX)
        http.sock.settimeout(10)
        http.sock.connect(self.sock)
        http.request("GET", "/localapi/v0/dns-query?name=%s&type=%s" % (name, kinds[kind]))
        out = json.loads(http.getresponse().read())
        http.close()
        return meaning(base64.b64decode(out["Bytes"]))


def ours_all(ns, questions, server=SERVICE4):
    """questions: (name, type, tcp or udp)"""
    lines = "".join("%s %s\n" % (how, query(name, kind).hex()) for name, kind, how in questions)
    out = ns.sh("python3", "-c", ASK, server, text_in=lines).stdout
    return [meaning(bytes.fromhex(x)) for x in out.split()]


def ours(ns, name, kind, how="udp", server=SERVICE4):
    return ours_all(ns, [(name, kind, how)], server)[0]


def reverse(address):
    return ipaddress.ip_address(address).reverse_pointer


class World:
    def __init__(self):
        self.lab = Lab(name="mesh-dns")
        try:
            self.sites = s = Sites(self.lab)
            self.control = CausewayControl(self.lab, s)
            path = self.lab.path("dns.hujson")
            with open(path, "w") as f:
                f.write(DNS)
            self.control.coord("dns", "set", path)
            self.upstream = s.inet.start("resolver", ["python3", "-c", UPSTREAM])
            self.gate = CausewayMesh(self.lab, s[1], control=self.control)
            self.gate.start()
            self.gate.stock("set", "--accept-dns=true")
            self.stock = Stock(self.lab, s[2], self.control)
            wait_for(lambda: "stock" in self.gate.seen(), 10, "the other node")
            self.domain = self.gate.status()["MagicDNSSuffix"]
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, e, tb):
        if e is not None and not isinstance(e, KeyboardInterrupt):
            sys.stderr.write(self.gate.logs() + "\n")
        self.lab.close()


def as_stock_says_it():
    with World() as w:
        gate = w.gate.status()["Self"]["TailscaleIPs"]
        other = w.gate.seen()["stock"]["TailscaleIPs"]
        names = ["gw1." + w.domain, "stock." + w.domain, "STOCK." + w.domain, "none." + w.domain,
                 "a.stock." + w.domain, w.domain, "db.lab.example", "six.lab.example",
                 "x.home.example", "home.example", "x.onion"]
        questions = [(n, k) for n in names for k in (A, AAAA, MX, NS, SOA, SRV)]
        questions += [("magicdns.localhost-tailscale-daemon", k) for k in (A, AAAA)]
        questions += [(reverse(a), PTR) for a in gate + other + [
            SERVICE4, SERVICE6, "100.64.99.99", "fd7a:115c:a1e0::9999", "192.0.2.77"]]
        wait_for(lambda: ours(w.gate.site.gw, names[1], A)[3], 10, "the first name")
        wait_for(lambda: w.stock.says(names[0], A)[3], 10, "the first name of stock")
        wrong = []
        got_all = {how: ours_all(w.gate.site.gw, [q + (how,) for q in questions])
                   for how in ("udp", "tcp")}
        for i, (name, kind) in enumerate(questions):
            theirs = w.stock.says(name, kind)
            for how in ("udp", "tcp"):
                got = got_all[how][i]
                # Stock leaves the SOA out for types that it does not know; it may be there.
                if kind not in (A, AAAA, PTR) and not theirs[4] and got[0] == 0:
                    got = got[:4] + ([],)
                if got != theirs:
                    wrong.append("%s %d %s: ours %s, stock's %s" % (name, kind, how, got, theirs))
        check(not wrong, "%d differ:\n%s" % (len(wrong), "\n".join(wrong)))
        # Of a name with several records stock gives the first, ours all.
        two = ours(w.gate.site.gw, "two.lab.example", A)[3]
        check(len(two) == 2 and w.stock.says("two.lab.example", A)[3] == two[:1], two)
        return "%d questions" % len(questions)


def to_whom_and_by_whom():
    with World() as w:
        gate, host = w.gate.site.gw, w.gate.site.host
        name = "stock." + w.domain
        wait_for(lambda: ours(gate, name, A)[3], 10, "the first name")
        want = w.stock.says(name, A)
        for ns in (gate, host):
            for server in (SERVICE4, SERVICE6):
                for how in ("udp", "tcp"):
                    # IPv6 hosts of the LAN have a route to the gateway, too.
                    got = ours(ns, name, A, how, server)
                    check(got == want, "%s, %s, %s: %s" % (ns.short, server, how, got))
        # dig, with EDNS0, DNS cookies and all that it likes to send.
        out = host.sh(tool("dig"), "+noall", "+answer", "+comments", "@" + SERVICE4, name).stdout
        check("status: NOERROR" in out and "EDNS: version: 0" in out and want[3][0][2] in out, out)

        # Split DNS: passed on as it is, whole over TCP also where UDP says half of it.
        got = ours(host, "web.corp.example", A)
        check(got[:2] == (0, False) and got[3] == [(A, 60, "192.0.2.99")], got)
        got = ours(host, "big.corp.example", A, "tcp")
        check(len(got[3]) == 60 and not got[2], got)
        got = ours(host, "big.corp.example", A, "udp")
        check(got[2] and not got[3], "960 bytes in an answer of 512: %s" % (got,))
        out = host.sh(tool("dig"), "+short", "@" + SERVICE4, "big.corp.example").stdout
        check(out.split() == ["192.0.2.99"] * 60, out)

        # A record that is added is there within a second, one that goes is gone.
        path = w.lab.path("dns.hujson")
        with open(path, "w") as f:
            f.write(DNS.replace("192.0.2.77", "192.0.2.78"))
        w.control.coord("dns", "set", path)
        wait_for(lambda: [r[2] for r in ours(host, "db.lab.example", A)[3]] == ["192.0.2.78"], 1.5,
                 "the record to change")
        # No source of what the host sends is the service's address.
        check("src " + w.gate.status()["Self"]["TailscaleIPs"][0] in gate.sh(
            "ip", "route", "get", w.gate.seen()["stock"]["TailscaleIPs"][0]).stdout, "source")
        w.gate.cli("down")
        check(SERVICE4 not in gate.sh("ip", "addr").stdout, "down leaves the address")


if __name__ == "__main__":
    sys.exit(main([[("mesh-dns-" + f.__name__.replace("_", "-"), f) for f in (
        as_stock_says_it, to_whom_and_by_whom)]], __doc__))
