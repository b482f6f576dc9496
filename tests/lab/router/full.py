# SPDX-License-Identifier: Apache-2.0
"""A full tunnel: all of a site's traffic goes by the other gateway."""

from cases import check
from flows import tcp, tcp_gbit
from router.packets import all_pings, arriving, ip_packets, leaving

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
    if st.port != "kernel":
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
