# SPDX-License-Identifier: Apache-2.0
"""Neighbours of an xdp port: resolved, kept alive, moved."""

import json
import time

from cases import check
from flows import Udp, account, lost
from nodes import PORT
from router.packets import all_pings, arriving, leaving, mac
from router.stage import FAMILIES


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
        # Its first word carries the new MAC; a TAP, unlike a veth, saw no carrier go.
        s[1].host.wait_ping(s[2].host_addr(family), 5)
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
