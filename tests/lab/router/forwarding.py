# SPDX-License-Identifier: Apache-2.0
"""Two sites: hops, TTL and checksums, fragments, MTU, routes and addresses that change."""

import json
import re
import time

from cases import check
from flows import tcp, tcp_gbit
from nodes import PORT, pair
from topology import renumber
from router.packets import all_pings, arriving, ip_packets, leaving, ping, sealed
from router.stage import FAMILIES


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
