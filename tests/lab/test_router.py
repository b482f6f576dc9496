#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that a gateway is a router: hops, TTL and checksums, the peer's MTU, fragments, ECN,
neighbours, routes of the kernel that change, the filter, full tunnels, and rest when idle.

Each topology is built when its first case runs; its cases run one after another, those of
different topologies side by side."""

import ipaddress
import json
import re
import struct
import sys
import threading
import time

from capture import Capture, udp_payload
from cases import check, main
from flows import Udp, account, lost, tcp, tcp_gbit
from netns import Lab, LabError, wait_for
from nodes import PORT, Causeway, pair
from topology import Sites, renumber

FAMILIES = (4, 6)
ECT1, ECT0, CE = 1, 2, 3


class Stage:
    """A topology that several cases share."""

    def __init__(self, port, build):
        self.port, self.build = port, build
        self.lock = threading.Lock()
        self.lab = self.error = None
        self.left = 0

    def case(self, name, fn):
        self.left += 1

        def go():
            with self.lock:
                try:
                    self.enter()
                    note = fn(self)
                    self.check_alive()
                    return note
                finally:
                    self.left -= 1
                    if not self.left and self.lab:
                        self.lab.close()
        return "%s-%s" % (name, self.port), go

    def enter(self):
        if self.error:
            raise LabError("the topology of this case: %s" % self.error)
        if self.lab:
            return
        Causeway.require()
        self.lab = Lab(name="router")
        try:
            self.build(self)
            for n in self.nodes.values():
                n.start()
            for a, b in self.reach:
                for family in FAMILIES:
                    self.s[a].host.wait_ping(self.s[b].host_addr(family), 15)
        except Exception as e:
            self.error = e
            if isinstance(e, LabError) and hasattr(self, "nodes"):
                raise LabError("%s\n%s" % (e, "\n".join(n.logs() for n in self.nodes.values())))
            raise

    def check_alive(self):
        for n in self.nodes.values():
            check(n.alive(), "%s: a program ended\n%s" % (n.site.name, n.logs()))

    def sites(self, count):
        xdp = {"kernel": (), "xdp": range(1, count + 1), "mixed": (2,)}[self.port]
        self.s = Sites(self.lab, count, xdp=xdp)
        return self.s

    def node(self, n, **kw):
        kw.setdefault("port_kind", self.port)
        return Causeway(self.lab, self.s[n], **kw)


# Packets.

def ip_sum(header):
    total = sum(struct.unpack("!%dH" % (len(header) // 2), header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Ip:
    """An IP packet of an Ethernet frame: what routers may change of it."""

    def __init__(self, frame):
        p = frame[14:]
        self.version = p[0] >> 4
        if self.version == 4:
            head = (p[0] & 15) * 4
            self.tos, self.len, self.ttl, self.proto = p[1], *struct.unpack("!H", p[2:4]), p[8], \
                p[9]
            self.df, self.fragment = p[6] & 0x40, struct.unpack("!H", p[6:8])[0] & 0x3fff
            self.sum_ok = ip_sum(p[:head]) == 0xffff
            self.src, self.dst = p[12:16], p[16:20]
        else:
            head = 40
            self.tos = struct.unpack("!H", p[:2])[0] >> 4 & 0xff
            self.len, self.proto, self.ttl = struct.unpack("!HBB", p[4:8])
            self.len += 40
            self.df, self.sum_ok = 0x40, True
            self.fragment = self.proto == 44
            self.src, self.dst = p[8:24], p[24:40]
        self.src, self.dst = (str(ipaddress.ip_address(x)) for x in (self.src, self.dst))
        self.payload = p[head:]

    def mss(self):
        """The MSS option of a TCP SYN, or None."""
        t = self.payload
        if self.proto != 6 or not t[13] & 2:
            return None
        opts, i = t[20:(t[12] >> 4) * 4], 0
        while i < len(opts) and opts[i]:
            if opts[i] == 1:
                i += 1
                continue
            if opts[i] == 2:
                return struct.unpack("!H", opts[i + 2:i + 4])[0]
            i += opts[i + 1]
        return 0


def mac(ns, dev):
    return json.loads(ns.sh("ip", "-j", "link", "show", dev).stdout)[0]["address"]


def arriving(st, ns, expr):
    """Capture of what comes to a host. By address: tcpdump's `inbound` misses the first one."""
    return Capture(st.lab, ns, "eth0", "ether dst %s and (%s)" % (mac(ns, "eth0"), expr), snap=128)


def leaving(st, n, expr):
    """Capture, behind its wire, of what gateway n sends to the internet."""
    return Capture(st.lab, st.s.inet, "port%d" % n,
                   "ether src %s and (%s)" % (mac(st.s[n].gw, "eth0"), expr), snap=128)


def ip_packets(capture):
    return [Ip(f) for _, f in capture.stop()
            if len(f) >= 34 and struct.unpack("!H", f[12:14])[0] in (0x0800, 0x86dd)]


def ping(ns, dst, *args, count=3, size=56, interval=0.2):
    """(received, what ping printed)."""
    p = ns.sh("ping", "-n", "-c", count, "-i", interval, "-W", 1, "-s", size, *args, dst,
              check=False, timeout=60)
    got = re.search(r"(\d+) received", p.stdout)
    return int(got.group(1)) if got else 0, p.stdout


def all_pings(ns, dst, *args, **kw):
    got, out = ping(ns, dst, *args, **kw)
    check(got == kw.get("count", 3), "ping %s from %s: %s" % (dst, ns.short, out.strip()))


# Two sites.

def build_pair(st):
    s = st.sites(2)
    st.nodes = {n: st.node(n) for n in (1, 2)}
    pair(st.nodes[1], st.nodes[2])
    st.reach = [(1, 2)]


def build_mixed(st):
    """A gateway of each kind."""
    st.sites(2)
    st.nodes = {1: st.node(1, port_kind="kernel"), 2: st.node(2, port_kind="xdp")}
    pair(st.nodes[1], st.nodes[2])
    st.reach = [(1, 2)]


def traceroute(st):
    s = st.s
    for a, b in ((1, 2), (2, 1)):
        for family in FAMILIES:
            hops = ([s[a].gw4, s[b].mesh4, s[b].host4] if family == 4 else
                    [s[a].gw6, s[b].mesh6, s[b].host6])
            out = s[a].host.sh("traceroute", "-n", "-q", 1, "-N", 1, "-w", 2, "-m", 6, hops[2],
                               check=False).stdout
            seen = [x.split()[1] for x in out.splitlines()[1:] if len(x.split()) > 1]
            check(seen == hops, "from site %d: %s instead of %s" % (a, seen, hops))


def ttl_and_checksum(st):
    """Echo requests and answers, and bulk TCP: two gateways take two."""
    s = st.s
    caps = [arriving(st, s[n].host, "tcp or icmp or icmp6")
            for n in (1, 2)]
    for family in FAMILIES:
        all_pings(s[1].host, s[2].host_addr(family), "-t", 33)
        gbit = tcp_gbit(tcp(s[1].host, s[2].host, s[2].host_addr(family), 1))
        check(gbit > 0.01, "TCP carried %.3f Gbit/s" % gbit)
    seen = 0
    for n, cap in zip((1, 2), caps):
        for p in ip_packets(cap):
            if p.src not in (s[3 - n].host4, s[3 - n].host6):
                continue
            is_request = p.proto in (1, 58) and p.payload[0] in (8, 128)
            want = 31 if is_request else 62
            check(p.ttl == want, "TTL %d at host %d instead of %d (proto %d)" %
                  (p.ttl, n, want, p.proto))
            check(p.sum_ok, "header checksum wrong at host %d" % n)
            seen += 1
    check(seen > 100, "only %d packets seen" % seen)
    return "%d packets" % seen


def time_exceeded(st):
    """TTL 1 at the own gateway, and TTL 1 out of the tunnel at the other one."""
    s = st.s
    for a, b in ((1, 2), (2, 1)):
        for family in FAMILIES:
            for ttl, hop in ((1, s[a].gw4 if family == 4 else s[a].gw6),
                             (2, s[b].mesh4 if family == 4 else s[b].mesh6)):
                out = ping(s[a].host, s[b].host_addr(family), "-t", ttl, count=2,
                           interval=1.1)[1]
                check(re.search(r"From %s:? icmp_seq=\d+ Time (to live )?exceeded" %
                                re.escape(hop), out),
                      "TTL %d from site %d, want it from %s: %s" % (ttl, a, hop, out.strip()))


def fragments(st):
    """Hosts that fragment to their LAN's 1500 before a tunnel of 1420."""
    s = st.s
    for a, b in ((1, 2), (2, 1)):
        for family in FAMILIES:
            # IPv6: the first ones meet packet-too-big, and the host learns.
            if family == 6:
                ping(s[a].host, s[b].host6, count=2, size=3000)
            for size in (3000, 20000):
                all_pings(s[a].host, s[b].host_addr(family), count=5, size=size)
    cap = arriving(st, s[2].host, "icmp or ip6 proto 44")
    for family in FAMILIES:
        all_pings(s[1].host, s[2].host_addr(family), size=3000)
    pieces = [p for p in ip_packets(cap) if p.fragment]
    check({p.version for p in pieces} == {4, 6}, "no fragments came of one family")
    check(all(p.ttl == 62 and p.sum_ok for p in pieces), "TTL or checksum of a fragment wrong")
    return "%d fragments" % len(pieces)


def sealed(cap):
    out = []
    for _, f in cap.stop():
        u = udp_payload(f)
        if u and u[4][:1] == b"\4":
            out.append(Ip(f))
    return out


def ecn_outer(st):
    s = st.s
    for family in FAMILIES:
        for ecn in (0, ECT1, ECT0, CE):
            cap = leaving(st, 1, "udp port %d" % PORT)
            all_pings(s[1].host, s[2].host_addr(family), "-Q", 0xb8 | ecn)
            # Keepalives and answers without ECN may be among them.
            got = [p.tos for p in sealed(cap) if p.len > 100]
            check(len(got) >= 3 and got.count(ecn) >= 3,
                  "IPv%d inner ECN %d: outer TOS %s" % (family, ecn, got))


def mark(ns, dev, *rules):
    """Congestion marks set on the way: nft rules on what enters an interface."""
    ns.nft("table netdev marks\ndelete table netdev marks\ntable netdev marks {\n chain c {\n"
           "  type filter hook ingress device \"%s\" priority 0;\n  %s\n }\n}\n" %
           (dev, "\n  ".join(rules)))


def unmark(ns):
    ns.nft("table netdev marks\ndelete table netdev marks\n")


def ecn_marked(st):
    """All outer packets marked: ECT becomes CE, what is not ECT is dropped and counted."""
    s = st.s
    mark(s.inet, "port1", "udp dport %d ip ecn set ce" % PORT)
    try:
        for family in FAMILIES:
            before = st.nodes[2].counters()
            cap = arriving(st, s[2].host, "icmp or icmp6")
            for ecn in (ECT0, ECT1, CE):
                all_pings(s[1].host, s[2].host_addr(family), "-Q", 0xb8 | ecn)
            got = [p for p in ip_packets(cap) if p.payload[0] in (8, 128)]
            check(len(got) == 9 and all(p.tos == 0xb8 | CE and p.sum_ok for p in got),
                  "inner TOS %s" % [p.tos for p in got])
            n, out = ping(s[1].host, s[2].host_addr(family), "-Q", 0xb8, count=4)
            check(n == 0, "not-ECT under an outer CE was let through: %s" % out)
            after = st.nodes[2].counters()
            check(after["ecn_ce_marked"] - before["ecn_ce_marked"] == 6,
                  "ecn_ce_marked by %d" % (after["ecn_ce_marked"] - before["ecn_ce_marked"]))
            name = next(k for k in after if k.lower().endswith("open_ecn"))
            check(after[name] - before[name] >= 4, "%s not counted" % name)
    finally:
        unmark(s.inet)


def ecn_bulk(st):
    """TCP with ECN: marks reach the receiver, the sender slows and nothing is lost to them."""
    s = st.s
    for h in (s[1].host, s[2].host):
        h.sysctl("net.ipv4.tcp_ecn", 1)
    mark(s.inet, "port1", "udp dport %d ip ecn ect0 numgen inc mod 64 0 ip ecn set ce" % PORT)
    try:
        for family in FAMILIES:
            before = st.nodes[2].counters()
            caps = [arriving(st, s[n].host, "tcp")
                    for n in (1, 2)]
            gbit = tcp_gbit(tcp(s[1].host, s[2].host, s[2].host_addr(family), 1))
            back, there = [ip_packets(c) for c in caps]
            ce = [p for p in there if p.tos & 3 == CE]
            after = st.nodes[2].counters()
            marked = after["ecn_ce_marked"] - before["ecn_ce_marked"]
            check(gbit > 0.01 and marked > 0 and ce, "%.3f Gbit/s, %d marked, %d seen with CE" %
                  (gbit, marked, len(ce)))
            check(any(p.tos & 3 == ECT0 for p in there), "all packets marked at the receiver")
            check(all(p.sum_ok for p in there), "a header checksum is wrong")
            echo = [p for p in back if p.payload[13] & 0x40]
            check(echo, "the receiver never echoed a mark")
            name = next(k for k in after if k.lower().endswith("open_ecn"))
            check(after[name] == before[name], "marked packets dropped")
    finally:
        unmark(s.inet)


def ecn_bulk_dropped(st):
    """TCP without ECN: what is marked on the way is lost to it, counted, and no fault."""
    s = st.s
    for h in (s[1].host, s[2].host):
        h.sysctl("net.ipv4.tcp_ecn", 0)
    mark(s.inet, "port1", "udp dport %d ip ecn not-ect numgen inc mod 256 200 ip ecn set ce" %
         PORT)
    try:
        for family in FAMILIES:
            before = st.nodes[2].counters()
            cap = arriving(st, s[2].host, "tcp")
            gbit = tcp_gbit(tcp(s[1].host, s[2].host, s[2].host_addr(family), 1))
            after = st.nodes[2].counters()
            name = next(k for k in after if k.lower().endswith("open_ecn"))
            check(gbit > 0.01 and after[name] > before[name], "%.3f Gbit/s, %d dropped" %
                  (gbit, after[name] - before[name]))
            check(after["ecn_ce_marked"] == before["ecn_ce_marked"], "a mark was carried over")
            check(not any(p.tos & 3 for p in ip_packets(cap)), "a mark at the receiver")
    finally:
        unmark(s.inet)


def lan_mtu(st):
    """A LAN of smaller MTU behind the far gateway, and larger again, without a restart."""
    s = st.s
    for mtu in (1300, 1500):
        for ns, dev in ((s[2].gw, "eth1"), (s[2].host, "eth0")):
            ns.ip("link set %s mtu %d" % (dev, mtu))
        time.sleep(0.3)
        for family in FAMILIES:
            head = 28 if family == 4 else 48
            size, dst = 1400 - head, s[2].host_addr(family)
            s[1].host.sh("ip", "-%d" % family, "route", "flush", "cache")
            if mtu > 1400:
                all_pings(s[1].host, dst, "-M", "do", size=size)
                continue
            out = ping(s[1].host, dst, "-M", "do", size=size, count=2)[1]
            check(re.search(r"mtu ?[=:] ?%d\b" % mtu, out), "IPv%d: %s" % (family, out.strip()))
            all_pings(s[1].host, dst, "-M", "do", size=mtu - head)


def kernel_routes_win(st):
    """What the kernel has inside a mesh prefix, the kernel decides: here that it goes nowhere."""
    s = st.s
    for kind, dst4, dst6 in (("unreachable", s[2].host4 + "/32", s[2].host6 + "/128"),
                             ("blackhole", "10.2.0.0/25", "fd02::/80")):
        s[1].gw.ip("route add %s %s" % (kind, dst4), "route add %s %s" % (kind, dst6))
        time.sleep(0.3)
        for family in FAMILIES:
            got, out = ping(s[1].host, s[2].host_addr(family), count=2, interval=1.1)
            check(not got, "%s, and IPv%d is answered" % (kind, family))
            check(kind == "blackhole" or "nreachable" in out, "nobody told: %s" % out)
        s[1].gw.ip("route del %s %s" % (kind, dst4), "route del %s %s" % (kind, dst6))
        time.sleep(0.3)
        for family in FAMILIES:
            all_pings(s[1].host, s[2].host_addr(family))


def wan_renumbered(st):
    """The gateway gets another address outside: packets leave from it, the peer follows."""
    s = st.s
    for new in ("203.0.113.21", "203.0.113.1"):
        renumber(s[1], new)
        took = s[1].host.wait_ping(s[2].host4, 10)
        check(took < 5, "%.1f s until it went on from %s" % (took, new))
        cap = leaving(st, 1, "udp port %d" % PORT)
        all_pings(s[1].host, s[2].host4)
        all_pings(s[2].host, s[1].host4)
        src = {p.src for p in sealed(cap)}
        check(src == {new}, "outer packets come from %s" % src)


def mtu_limit(st):
    """The limit is stated; more is refused, and the node keeps what it had."""
    node = st.nodes[1]
    ports = node.show("ports")
    ports = ports["ports"] if isinstance(ports, dict) else ports
    limit = ports[0]["mtu_max"]
    check(1420 < limit <= 9216, "mtu_max %s" % limit)
    # The configuration has a limit of its own.
    limit = min(limit, 9000)
    config = json.loads(node.config_text())
    config["peers"][0]["mtu"] = limit + 1
    node.write_config(json.dumps(config, indent=2))
    try:
        p = node.cli("reload", check=False)
        said = (p.stderr + p.stdout).strip()
        check(p.returncode != 0, "a peer's MTU of %d was taken" % (limit + 1))
        check(re.search(r"node\.hujson:\d+:\d+: ", said) and str(limit) in said,
              "it said: " + said)
        all_pings(st.s[1].host, st.s[2].host4)
        config["peers"][0]["mtu"] = limit
        node.write_config(json.dumps(config, indent=2))
        node.cli("reload")
        all_pings(st.s[1].host, st.s[2].host4)
    finally:
        node.write_config()
        node.cli("reload")
    return "mtu_max %d" % limit


def down_up(st):
    s, node = st.s, st.nodes[1]

    def routes():
        out = "".join(s[1].gw.sh("ip", f, "route", "show", "table", "all").stdout
                      for f in ("-4", "-6"))
        return [x for x in out.splitlines()
                if ("unreachable" in x and "dev lo" not in x) or
                ("dev cw0" in x and "table local" not in x and "fe80" not in x and
                 "ff00::/8" not in x)]

    before = routes()
    check(any("unreachable 10.2.0.0/24" in x for x in before), "no unreachable route: %s" % before)
    check(any("10.2.0.0/24 dev cw0" in x for x in before), "no route: %s" % before)
    node.cli("down")
    check(not routes(), "left after down: %s" % routes())
    check("stopped" in json.dumps(node.status()["Health"]), "status does not say it is stopped")
    for family in FAMILIES:
        got = ping(s[1].host, s[2].host_addr(family), count=2)[0]
        check(not got, "down, but IPv%d packets pass" % family)
    node.cli("up")
    check(sorted(routes()) == sorted(before), "up: %s instead of %s" % (routes(), before))
    for family in FAMILIES:
        s[1].host.wait_ping(s[2].host_addr(family), 15)


# A hub with two spokes of different MTUs.

SMALL, NORMAL = 1300, 1420


def build_hub(st):
    s = st.sites(3)
    st.nodes = {n: st.node(n) for n in (1, 2, 3)}
    hub = st.nodes[1]
    for n, mtu in ((2, SMALL), (3, NORMAL)):
        spoke = st.nodes[n]
        hub.add_peer(spoke, mtu=mtu)
        spoke.add_peer(hub, mtu=mtu, allowed=s[1].allowed + s[5 - n].allowed)
    for n in (1, 2, 3):
        serve(s[n].host)
    st.reach = [(1, 2), (1, 3), (2, 3)]


def serve(ns):
    ns.start("socat", ["socat", "TCP6-LISTEN:7000,fork,reuseaddr,ipv6only=0", "SYSTEM:true"])


def path_mtu(a, b):
    return SMALL if 2 in (a, b) else NORMAL


PAIRS = ((1, 2), (2, 1), (1, 3), (3, 2), (2, 3), (3, 1))


def mtu_fragmented(st):
    """IPv4 without DF arrives in pieces, each with its TTL counted once a gateway."""
    s = st.s
    for a, b in PAIRS:
        s[a].host.sh("ip", "route", "flush", "cache")
        mtu = path_mtu(a, b)
        cap = arriving(st, s[b].host, "icmp")
        all_pings(s[a].host, s[b].host4, "-M", "dont", size=1450)
        got = [p for p in ip_packets(cap) if p.src == s[a].host4]
        check(len(got) >= 6 and all(p.fragment for p in got), "%d to %d: not fragmented" % (a, b))
        check(all(p.len <= mtu for p in got), "%d to %d: %s" % (a, b, [p.len for p in got]))
        want = 62 if 1 in (a, b) else 61
        check(all(p.ttl == want and p.sum_ok for p in got), "%d to %d: TTL %s instead of %d" %
              (a, b, sorted({p.ttl for p in got}), want))


def mtu_too_big(st):
    """What may not be fragmented is answered with the MTU, by the gateway that knows it."""
    s = st.s
    for family in FAMILIES:
        head = 28 if family == 4 else 48
        for a, b in PAIRS:
            s[a].host.sh("ip", "-%d" % family, "route", "flush", "cache")
            dst, mtu = s[b].host_addr(family), path_mtu(a, b)
            out = ping(s[a].host, dst, "-M", "do", size=mtu + 1 - head, count=2)[1]
            check(re.search(r"mtu ?[=:] ?%d\b" % mtu, out), "IPv%d %d to %d, want %d: %s" %
                  (family, a, b, mtu, out.strip()))
            all_pings(s[a].host, dst, "-M", "do", size=mtu - head)


def mss_clamp(st):
    """SYN and SYN+ACK at both hosts carry no more than the path's MTU allows."""
    s = st.s
    for family in FAMILIES:
        head = 40 if family == 4 else 60
        for a, b in PAIRS:
            # What a host learned of the path would lower it without us.
            for h in (s[a].host, s[b].host):
                h.sh("ip", "-%d" % family, "route", "flush", "cache")
            dst = s[b].host_addr(family)
            caps = [arriving(st, s[n].host, "port 7000")
                    for n in (b, a)]
            name = ("TCP6:[%s]:7000" if family == 6 else "TCP4:%s:7000") % dst
            p = s[a].host.sh("socat", "-u", "/dev/null", name + ",connect-timeout=4", check=False)
            got = [[x.mss() for x in ip_packets(c) if x.mss() is not None] for c in caps]
            check(p.returncode == 0, "IPv%d %d to %d: %s" % (family, a, b, p.stdout.strip()))
            want = path_mtu(a, b) - head
            check(got == [[want], [want]], "IPv%d %d to %d: MSS %s instead of %d" %
                  (family, a, b, got, want))


def hub_time_exceeded(st):
    s = st.s
    for family in FAMILIES:
        hop = s[1].mesh4 if family == 4 else s[1].mesh6
        out = ping(s[2].host, s[3].host_addr(family), "-t", 2, count=2, interval=1.1)[1]
        check(re.search(r"From %s:? icmp_seq=\d+ Time (to live )?exceeded" % re.escape(hop), out),
              "want it from the hub: %s" % out.strip())


def hub_ttl(st):
    s = st.s
    cap = arriving(st, s[3].host, "icmp or icmp6")
    for family in FAMILIES:
        all_pings(s[2].host, s[3].host_addr(family))
    got = [p for p in ip_packets(cap) if p.payload[0] in (8, 128)]
    check(len(got) == 6 and all(p.ttl == 61 and p.sum_ok for p in got),
          "TTL %s" % [p.ttl for p in got])


# A gateway with two LANs and two routers towards the internet.

BEHIND4, BEHIND6 = "10.50.0.0/24", "fd50::/64"


def build_lans(st):
    """Site 1 has a second LAN, and its gateway knows the internet by a default route only."""
    s = st.sites(2)
    one, lab = s[1], st.lab
    st.host_b = lab.ns("host1b")
    lab.veth(one.gw, "eth2", st.host_b, "eth0")
    one.gw.ip("addr add 10.11.0.1/24 dev eth2", "addr add fd11::1/64 dev eth2 nodad")
    st.host_b.ip("addr add 10.11.0.2/24 dev eth0", "addr add fd11::2/64 dev eth0 nodad",
                 "route add default via 10.11.0.1", "route add default via fd11::1")
    if st.port == "xdp":
        one.gw.offload("eth2", "gro", "on", "tx", "off")
        st.host_b.offload("eth0", "gro", "on", "tx", "off")
    # The networks behind either host of site 1.
    for host in (one.host, st.host_b):
        host.ip("addr add 10.50.0.1/32 dev lo", "addr add fd50::1/128 dev lo")

    st.isp2 = lab.ns("isp2")
    lab.veth(s.inet, "isp2", st.isp2, "eth0")
    s.inet.ip("link set isp2 master br0")
    st.isp2.ip("addr add 203.0.113.253/24 dev eth0")
    if st.port == "xdp":
        s.inet.offload("isp2", "gro", "on", "tx", "off")
        st.isp2.offload("eth0", "gro", "on", "tx", "off")
    for ns, dev in ((s.inet, "br0"), (st.isp2, "eth0")):
        ns.sysctl("net.ipv4.ip_forward", 1, "net.ipv4.conf.all.send_redirects", 0,
                  "net.ipv4.conf.%s.send_redirects" % dev, 0)
    one.gw.ip("addr del 203.0.113.1/24 dev eth0", "addr add 203.0.113.1/32 dev eth0",
              "route add 203.0.113.254 dev eth0 scope link src 203.0.113.1",
              "route add 203.0.113.253 dev eth0 scope link src 203.0.113.1",
              "route add default via 203.0.113.254")
    a, b = st.nodes = {1: st.node(1, lan="eth1+eth2"), 2: st.node(2)}.values()
    st.nodes = {1: a, 2: b}
    a.add_peer(b)
    b.add_peer(a, allowed=one.allowed + ["10.11.0.0/24", "fd11::/64", BEHIND4, BEHIND6])
    st.reach = [(1, 2)]


def two_lans(st):
    s = st.s
    for ours, theirs, far in ((s[1].host4, "10.11.0.2", s[2].host4),
                              (s[1].host6, "fd11::2", s[2].host6)):
        all_pings(s[1].host, theirs)
        all_pings(st.host_b, ours)
        all_pings(st.host_b, far)
        all_pings(s[2].host, theirs)
    gbit = tcp_gbit(tcp(s[1].host, st.host_b, "10.11.0.2", 1))
    check(gbit > 0.01, "between two LANs: %.3f Gbit/s" % gbit)


def counted(ns):
    """Echo requests that this host has seen, IPv4 and IPv6."""
    out = ns.sh("cat", "/proc/net/snmp", "/proc/net/snmp6").stdout.splitlines()
    icmp = [x.split() for x in out if x.startswith("Icmp:")]
    v4 = int(icmp[1][icmp[0].index("InEchos")])
    return v4, next(int(x.split()[1]) for x in out if x.startswith("Icmp6InEchos "))


def lan_routes(st):
    """Routes over routers on the LANs come, move, get better ones and go, without a restart."""
    s, gw = st.s, st.s[1].gw
    b_first, b_second = (s[1].host, s[1].host4, s[1].host6), (st.host_b, "10.11.0.2", "fd11::2")

    def goes_to(router, what):
        # Until netlink's news are in.
        time.sleep(0.3)
        before = counted(router[0])
        all_pings(s[2].host, "10.50.0.1")
        all_pings(s[2].host, "fd50::1")
        after = counted(router[0])
        check(after[0] - before[0] >= 3 and after[1] - before[1] >= 3,
              "%s: %s saw %s" % (what, router[0].short, [y - x for x, y in zip(before, after)]))

    def route(verb, router, metric):
        gw.ip("route %s %s via %s metric %d" % (verb, BEHIND4, router[1], metric),
              "route %s %s via %s metric %d" % (verb, BEHIND6, router[2], metric))

    check(not ping(s[2].host, "10.50.0.1", count=1)[0], "it is reached without a route")
    route("add", b_first, 100)
    goes_to(b_first, "a new route")
    route("add", b_second, 200)
    goes_to(b_first, "a worse route beside it")
    route("add", b_second, 50)
    goes_to(b_second, "a better route beside it")
    route("del", b_second, 50)
    goes_to(b_first, "the better route gone")
    route("del", b_first, 100)
    goes_to(b_second, "only the worse route left")
    route("replace", b_first, 200)
    goes_to(b_first, "a route replaced")
    route("del", b_first, 200)
    time.sleep(0.3)
    check(not ping(s[2].host, "10.50.0.1", count=1)[0], "it is reached without a route")


def default_route(st):
    """Outer packets follow the default route to another router, and back."""
    s, gw = st.s, st.s[1].gw
    macs = {"203.0.113.254": mac(s.inet, "br0"), "203.0.113.253": mac(st.isp2, "eth0")}

    def leaves_by(router, what):
        time.sleep(0.3)
        cap = leaving(st, 1, "udp port %d" % PORT)
        all_pings(s[1].host, s[2].host4, count=5)
        to, src = {}, set()
        for _, f in cap.stop():
            u = udp_payload(f)
            if u and u[4][:1] == b"\4" and len(f) > 120:
                to[f[:6].hex(":")] = to.get(f[:6].hex(":"), 0) + 1
                src.add(u[0])
        check(set(to) == {macs[router]} and to[macs[router]] >= 5,
              "%s: to %s instead of %s" % (what, to, macs[router]))
        check(src == {"203.0.113.1"}, "%s: from %s" % (what, src))

    leaves_by("203.0.113.254", "at first")
    gw.ip("route replace default via 203.0.113.253")
    leaves_by("203.0.113.253", "replaced")
    gw.ip("route add default via 203.0.113.254 metric 700")
    leaves_by("203.0.113.253", "a worse one beside it")
    gw.ip("addr add 198.51.100.77/32 dev eth0")
    leaves_by("203.0.113.253", "a second address")
    gw.ip("route del default via 203.0.113.253")
    leaves_by("203.0.113.254", "the better one gone")
    gw.ip("addr del 198.51.100.77/32 dev eth0", "route add default via 203.0.113.254",
          "route del default via 203.0.113.254 metric 700")
    leaves_by("203.0.113.254", "in the end")


def neighbour(gw, ip, dev):
    got = json.loads(gw.sh("ip", "-j", "neigh", "show", ip, "dev", dev).stdout or "[]")
    return (got[0].get("state", [""])[0], got[0].get("lladdr")) if got else ("none", None)


def neighbour_resolved(st):
    """Unknown at first, the kernel resolves it; from then on frames leave by XDP."""
    s, node = st.s, st.nodes[1]
    for family in FAMILIES:
        s[1].gw.sh("ip", "neigh", "flush", "dev", "eth1")
        before = node.counters()
        got = Udp(st.lab, (s[2].host, s[2].host_addr(family)), (s[1].host, s[1].host_addr(family)),
                  rate=2000, seconds=2, both=False, wait=1.0).wait()
        after = node.counters()
        check(not lost(got)[0], account(got))
        through_kernel = after["tx_tun_calls"] - before["tx_tun_calls"]
        check(through_kernel < 400, "IPv%d: %d of 4000 packets went through the kernel" %
              (family, through_kernel))
        check(after["tx_inside"] - before["tx_inside"] >= 4000, "not counted")
        check(neighbour(s[1].gw, s[1].host_addr(family), "eth1")[1] == mac(s[1].host, "eth0"),
              "no neighbour entry")


def neighbour_kept(st):
    """A neighbour that only XDP uses is probed by the kernel, and never goes."""
    s, node, gw = st.s, st.nodes[1], st.s[1].gw
    for proto in ("ipv4", "ipv6"):
        gw.sysctl("net.%s.neigh.eth1.base_reachable_time_ms" % proto, 1500,
                  "net.%s.neigh.eth1.gc_stale_time" % proto, 3,
                  "net.%s.neigh.eth1.delay_first_probe_time" % proto, 1)
    gw.sh("ip", "neigh", "flush", "dev", "eth1")
    log = gw.start("monitor", ["ip", "-ts", "monitor", "neigh"], stdout=st.lab.path("neigh.log"))
    before = node.counters()
    flows = [Udp(st.lab, (s[2].host, s[2].host_addr(f)), (s[1].host, s[1].host_addr(f)),
                 rate=1000, seconds=26, both=False, port=9000 + f, wait=1.0) for f in FAMILIES]
    for f in flows:
        got = f.wait()
        check(not lost(got)[0], account(got))
    through_kernel = node.counters()["tx_tun_calls"] - before["tx_tun_calls"]
    check(through_kernel < 500, "%d packets went through the kernel" % through_kernel)
    log.stop()
    for family in FAMILIES:
        ip = s[1].host_addr(family)
        news = [x for x in log.output().splitlines() if (" %s dev eth1" % ip) in x]
        probed = sum(x.rstrip().endswith("REACHABLE") for x in news)
        check(probed >= 2, "%s was confirmed %d times in 26 s: %s" % (ip, probed, news))
        check(neighbour(gw, ip, "eth1")[0] in ("REACHABLE", "STALE", "DELAY", "PROBE"),
              "%s: %s" % (ip, neighbour(gw, ip, "eth1")))
    return "%d of 52000 through the kernel" % through_kernel


def neighbour_moves(st):
    """A host gets another MAC under a live flow."""
    s = st.s
    ends = [(s[n].host, s[n].host4) for n in (2, 1)]
    flow = Udp(st.lab, *ends, rate=1000, seconds=7)
    time.sleep(2)
    new = "02:00:00:00:be:ef"
    s[1].host.ip("link set eth0 down", "link set eth0 address " + new, "link set eth0 up",
                 "addr replace fd01::2/64 dev eth0 nodad", "route replace default via 10.1.0.1",
                 "route replace default via fd01::1")
    got = flow.wait()
    gap = got[1]["rx"]["longest_gap_ms"]
    check(gap < 3000, account(got))
    for family in FAMILIES:
        all_pings(s[2].host, s[1].host_addr(family))
        check(neighbour(s[1].gw, s[1].host_addr(family), "eth1")[1] == new, "old MAC kept")
    return "gap %.0f ms" % gap


def verdict(node, name):
    """Frames on which the steering programs of a gateway decided so."""
    rows = node.show("ports")
    return (rows["ports"] if isinstance(rows, dict) else rows)[0]["verdicts"][name]


def gateway_moves(st):
    """The gateway's own interfaces get other MACs; frames go on by XDP, with the new ones."""
    s, node = st.s, st.nodes[1]
    for dev, new in (("eth1", "02:00:00:00:ca:fe"), ("eth0", "02:00:00:00:ca:ff")):
        s[1].gw.ip("link set %s address %s" % (dev, new))
    s[1].host.sh("ip", "neigh", "flush", "dev", "eth0")
    s[2].gw.sh("ip", "neigh", "flush", "dev", "eth0")
    for family in FAMILIES:
        s[1].host.wait_ping(s[2].host_addr(family), 5)
    caps = [arriving(st, s[1].host, "udp port 9000"), leaving(st, 1, "udp port %d" % PORT)]
    before = node.counters()
    taken = {name: verdict(node, name) for name in ("LAN_MESH", "WAN_DATA")}
    got = Udp(st.lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=1000,
              seconds=2, wait=1.0).wait()
    after = node.counters()
    check(lost(got) == (0, 0), account(got))
    inside, outside = [c.stop() for c in caps]
    check({f[6:12].hex(":") for _, f in inside} == {"02:00:00:00:ca:fe"}, "old MAC on the LAN")
    check(len(outside) > 1900, "old MAC on the WAN")
    for name in ("tx_tun_calls", "tx_udp_calls"):
        n = after[name] - before[name]
        check(n < 200, "%s: %d with 2000 packets" % (name, n))
    for name in ("LAN_MESH", "WAN_DATA"):
        n = verdict(node, name) - taken[name]
        check(n >= 1900, "XDP took %d of 2000 packets: %s" % (n, name))


# Rules.

def build_filter(st):
    s = st.sites(2)
    st.nodes = {1: st.node(1, filter_=[]), 2: st.node(2, filter_=None)}
    pair(st.nodes[1], st.nodes[2])
    for n in (1, 2):
        for port in (7000, 7001):
            s[n].host.start("echo%d" % port, ["socat", "UDP6-LISTEN:%d,fork,ipv6only=0" % port,
                                              "EXEC:cat"])
        serve(s[n].host)
    st.reach = []


def udp_answers(ns, dst, port):
    name = "UDP6:[%s]:%d" if ":" in dst else "UDP4:%s:%d"
    return ns.sh("socat", "-t", 0.7, "-T", 1, "-", name % (dst, port), text_in="hello\n",
                 check=False).stdout == "hello\n"


def tcp_opens(ns, dst):
    name = "TCP6:[%s]:7000" if ":" in dst else "TCP4:%s:7000"
    return ns.sh("socat", "-u", "/dev/null", name % dst + ",connect-timeout=1",
                 check=False).returncode == 0


def set_filter(node, rules):
    node.filter = rules
    node.write_config()
    node.cli("reload")


def filter_none(st):
    """Nothing passes without a filter, and status says why."""
    s = st.s
    for family in FAMILIES:
        check(not ping(s[1].host, s[2].host_addr(family), count=2)[0], "ping passes")
        check(not ping(s[2].host, s[1].host_addr(family), count=2)[0], "ping passes")
    check(not udp_answers(s[1].host, s[2].host4, 7000), "UDP passes")
    p = st.nodes[2].cli("status")
    check("packet filter" in p.stdout and "filter" in json.dumps(st.nodes[2].status()["Health"]),
          "status: " + p.stdout)
    set_filter(st.nodes[2], "allow-all")
    set_filter(st.nodes[1], "allow-all")
    for family in FAMILIES:
        s[1].host.wait_ping(s[2].host_addr(family), 15)


def rules(st, ports, proto=("udp",)):
    return [{"src": [st.s[1].net4, st.s[1].net6], "proto": list(proto),
             "dst": ["%s:%s" % (st.s[2].net4, ports),
                     "[%s]:%s" % (st.s[2].net6, ports)]}]


def filter_rules(st):
    """Only what a rule allows passes, and answers to what went out."""
    s = st.s
    set_filter(st.nodes[1], [])
    set_filter(st.nodes[2], rules(st, 7000))
    for family in FAMILIES:
        a, b = s[1].host_addr(family), s[2].host_addr(family)
        check(udp_answers(s[1].host, b, 7000), "IPv%d: the allowed port does not answer" % family)
        check(not udp_answers(s[1].host, b, 7001), "IPv%d: another port answers" % family)
        check(not udp_answers(s[2].host, a, 7000), "IPv%d: the other way answers" % family)
        check(not tcp_opens(s[1].host, b), "IPv%d: TCP passes" % family)
        # Whom any rule lets reach an address may ping it.
        all_pings(s[1].host, b)
        check(not ping(s[2].host, a, count=2)[0], "IPv%d: ping passes the other way" % family)
    dropped = st.nodes[2].counters()
    name = next(k for k in dropped if k.lower().endswith("filter_no_rule"))
    check(dropped[name] > 0, "%s not counted" % name)


def filter_reload(st):
    """New rules at once, and live flows do not notice."""
    s, ends = st.s, [(st.s[n].host, st.s[n].host4) for n in (1, 2)]
    set_filter(st.nodes[1], [])
    both = rules(st, "7000,9000")
    set_filter(st.nodes[2], both)
    flow = Udp(st.lab, *ends, rate=2000, seconds=6, wait=1.0)
    time.sleep(2)
    check(not tcp_opens(s[1].host, s[2].host4), "TCP passes before")
    set_filter(st.nodes[2], both + rules(st, 7000, ["tcp"]))
    check(tcp_opens(s[1].host, s[2].host4), "TCP does not pass after the reload")
    check(tcp_opens(s[1].host, s[2].host6), "TCP over IPv6 does not pass after the reload")
    set_filter(st.nodes[2], rules(st, 7001))
    check(not tcp_opens(s[1].host, s[2].host4), "TCP passes after its rule went")
    check(not udp_answers(s[1].host, s[2].host4, 7000), "UDP passes after its rule went")
    check(udp_answers(s[1].host, s[2].host4, 7001), "the new rule's port does not answer")
    got = flow.wait()
    check(lost(got) == (0, 0), "the live flow: " + account(got))


# A full tunnel: all of a site's traffic goes by the other gateway.

WEB4, WEB6 = "198.51.100.80", "2001:db8:80::80"


def build_full(st):
    s = st.sites(2)
    st.web = web = st.lab.ns("web")
    st.lab.veth(s.inet, "web", web, "eth0")
    s.inet.ip("link set web master br0")
    web.ip("addr add 203.0.113.80/24 dev eth0", "addr add 2001:db8::80/64 dev eth0 nodad",
           "addr add %s/32 dev lo" % WEB4, "addr add %s/128 dev lo" % WEB6,
           *["route add %s via %s" % (x, s[2].wan6 if ":" in x else s[2].wan4)
             for x in (s[1].net4, s[1].net6, s[1].mesh4 + "/32", s[1].mesh6 + "/128")])
    if st.port == "xdp":
        s.inet.offload("web", "gro", "on", "tx", "off")
        web.offload("eth0", "gro", "on", "tx", "off")
    s[2].gw.ip("route add %s via 203.0.113.80" % WEB4, "route add %s via 2001:db8::80" % WEB6)
    # Without the tunnel it would leave here.
    s[1].gw.ip("route add default via 203.0.113.254", "route add default via 2001:db8::fe")
    a, b = st.node(1), st.node(2)
    a.add_peer(b, allowed=["0.0.0.0/0", "::/0"])
    b.add_peer(a)
    st.nodes = {1: a, 2: b}
    st.reach = [(1, 2)]


def full_tunnel(st):
    s, web = st.s, st.web
    for dst in (WEB4, WEB6):
        s[1].host.wait_ping(dst, 10)
    outer = leaving(st, 1, "ip or ip6")
    seen = arriving(st, web, "icmp or icmp6")
    for dst in (WEB4, WEB6):
        all_pings(s[1].host, dst, count=10)
        all_pings(s[1].gw, dst, count=3)
    got = [p for p in ip_packets(seen) if p.payload[0] in (8, 128)]
    check(len(got) == 26, "%d of 26 requests at the internet's host" % len(got))
    for p in got:
        ours = p.src in (s[1].host4, s[1].host6)
        check(ours or p.src in (s[1].mesh4, s[1].mesh6), "a request from %s" % p.src)
        check(p.ttl == (62 if ours else 63), "TTL %d from %s" % (p.ttl, p.src))
    left = [p for p in ip_packets(outer) if not (p.proto == 58 and p.payload[0] in (135, 136))]
    wrong = [(p.src, p.dst, p.proto) for p in left if p.dst not in (s[2].wan4, s[2].wan6)]
    check(not wrong, "left beside the tunnel: %s" % wrong[:3])
    check(26 <= len(left) <= 50, "%d outer packets for 26 requests" % len(left))


def full_tunnel_bulk(st):
    s = st.s
    for client, server, dst in ((s[1].host, st.web, WEB4), (s[1].host, st.web, WEB6),
                                (st.web, s[1].host, s[1].host4)):
        gbit = tcp_gbit(tcp(client, server, dst, 1))
        check(gbit > 0.01, "%s: %.3f Gbit/s" % (dst, gbit))


# Rest.

def idle(st):
    """Daemons under 5 % of a core, and busy cycles that mean work."""
    s = st.s

    def cycles():
        rows = st.nodes[1].show("workers")
        rows = rows["workers"] if isinstance(rows, dict) else rows
        return sum(r["busy_cycles"] for r in rows), sum(r["idle_cycles"] for r in rows)

    def share(before):
        after = cycles()
        busy, rest = (y - x for x, y in zip(before, after))
        check(busy + rest > 0, "no cycles counted")
        return 100.0 * busy / (busy + rest)

    time.sleep(1.5)
    used, at, c = {n: x.cpu_ns() for n, x in st.nodes.items()}, time.monotonic(), cycles()
    time.sleep(5)
    span = time.monotonic() - at
    pct = {n: (x.cpu_ns() - used[n]) / span / 1e7 for n, x in st.nodes.items()}
    resting = share(c)
    check(max(pct.values()) < 5, "%s %% of a core when idle" % pct)
    c = cycles()
    Udp(st.lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=20000, seconds=1.5).wait()
    working = share(c)
    check(resting < 5 and working > 2 * resting, "busy %.1f %% idle, %.1f %% under load" %
          (resting, working))
    return "%.2f %% of a core; busy %.2f %%, %.1f %% under load" % (max(pct.values()), resting,
                                                                   working)


PAIR = (traceroute, ttl_and_checksum, time_exceeded, fragments, lan_mtu, kernel_routes_win,
        wan_renumbered, mtu_limit, down_up)
ECN = (ecn_outer, ecn_marked, ecn_bulk, ecn_bulk_dropped)
MIXED = (ttl_and_checksum, fragments, ecn_marked, ecn_bulk)
HUB = (mtu_fragmented, mtu_too_big, mss_clamp, hub_time_exceeded, hub_ttl)
LANS = (two_lans, lan_routes, default_route)
LANS_XDP = (neighbour_resolved, neighbour_kept, neighbour_moves, gateway_moves)
FILTER = (filter_none, filter_rules, filter_reload)
FULL = (full_tunnel, full_tunnel_bulk)


def cases():
    """In turns, so that the cases that run together are of different topologies."""
    queues = []
    for port in ("kernel", "xdp"):
        for build, fns in ((build_lans, LANS + (LANS_XDP if port == "xdp" else ())),
                           (build_pair, PAIR), (build_pair, ECN), (build_hub, HUB),
                           (build_filter, FILTER), (build_full, FULL), (build_pair, (idle,))):
            stage = Stage(port, build)
            queues.append([stage.case(f.__name__.replace("_", "-"), f) for f in fns])
    stage = Stage("mixed", build_mixed)
    queues.append([stage.case(f.__name__.replace("_", "-"), f) for f in MIXED])
    out = []
    while any(queues):
        out += [q.pop(0) for q in queues if q]
    return out


if __name__ == "__main__":
    sys.exit(main([cases()], __doc__))
