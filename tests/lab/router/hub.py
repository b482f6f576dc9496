# SPDX-License-Identifier: Apache-2.0
"""A hub with two spokes of different MTUs: fragments, too-big, MSS, hops."""

import re

from cases import check
from router.packets import all_pings, arriving, ip_packets, ping
from router.stage import FAMILIES

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
