# SPDX-License-Identifier: Apache-2.0
"""ECN through the tunnel (RFC 6040): marks that must survive, marks that must drop."""

from cases import check
from flows import tcp, tcp_gbit
from nodes import PORT
from router.packets import all_pings, arriving, ip_packets, leaving, ping, sealed
from router.stage import FAMILIES

ECT1, ECT0, CE = 1, 2, 3


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
