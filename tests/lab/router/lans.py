# SPDX-License-Identifier: Apache-2.0
"""A gateway with two LANs and two routers towards the internet."""

import time

from capture import udp_payload
from cases import check
from flows import tcp, tcp_gbit
from nodes import PORT
from router.packets import all_pings, leaving, mac, ping
from topology import Sites

BEHIND4, BEHIND6 = "10.50.0.0/24", "fd50::/64"


def build_lans(st):
    """Site 1 has a second LAN, and its gateway knows the internet by a default route only."""
    s = st.sites(2)
    one, lab = s[1], st.lab
    st.host_b = lab.ns("host1b")
    lab.veth(one.gw, "eth2", st.host_b, "eth0")
    if st.port == "dpdk":
        Sites.give_to_dpdk(one.gw, "eth2")
    one.gw.ip("addr add 10.11.0.1/24 dev eth2", "addr add fd11::1/64 dev eth2 nodad")
    st.host_b.ip("addr add 10.11.0.2/24 dev eth0", "addr add fd11::2/64 dev eth0 nodad",
                 "route add default via 10.11.0.1", "route add default via fd11::1")
    if st.port == "xdp":
        one.gw.offload("eth2", "gro", "on", "tx", "off")
        st.host_b.offload("eth0", "gro", "on", "tx", "off")
    elif st.port == "dpdk":
        st.host_b.offload("eth0", "tx", "off", "tso", "off", "gso", "off")
    # The networks behind either host of site 1.
    for host in (one.host, st.host_b):
        host.ip("addr add 10.50.0.1/32 dev lo", "addr add fd50::1/128 dev lo")

    st.isp2 = lab.ns("isp2")
    lab.veth(s.inet, "isp2", st.isp2, "eth0")
    s.inet.ip("link set isp2 master br0")
    st.isp2.ip("addr add 203.0.113.253/24 dev eth0")
    if st.port != "kernel":
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
