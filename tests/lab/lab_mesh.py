# SPDX-License-Identifier: Apache-2.0
"""The lab as a mesh: causeway-coord and causeway-derp in the internet, two gateways of ours behind
NATs and, where it is installed, a stock tailscaled as the gateway of a third site.

First no UDP gets from one gateway to another, so that all goes by the relay; then it does, and the
gateways find the direct way by themselves."""

import re
import time
from datetime import datetime

from flows import Udp, lost, tcp, tcp_gbit
from netns import Lab, LabError, Skip, wait_for
from nodes import CausewayControl, CausewayMesh, Tailscaled, foreign
from topology import Sites

UDP_PPS = {"relay": 500, "direct": 2000}
LOSS_LIMIT_PCT = 0.1
# What a case is called: one a pair of hosts and phase, and those of the whole.
HEALTH = "mesh-no-fault-drops"
CHANGE = "mesh-direct-by-itself"
STOCK = "mesh-stock-node"


def cases():
    return ["mesh-%s-host%d-host%d-%s" % (phase, i, 3 - i, family)
            for phase in ("relay", "direct") for family in ("ipv4", "ipv6") for i in (1, 2)] + \
        [CHANGE, HEALTH, STOCK]


def case_name(row):
    return "mesh-%s-%s-%s-%s" % (row["phase"], row["from"], row["to"], row["family"])


def has_stock():
    try:
        foreign("tailscaled")
        foreign("tailscale")
        return True
    except Skip:
        return False


def cut_udp(site, on):
    """Between a gateway behind a NAT and everybody but the relay's host."""
    if on:
        site.nat.nft("""
table ip cut {
	chain through {
		type filter hook forward priority filter;
		ip daddr != %s ip saddr != %s meta l4proto udp drop
	}
}
""" % (CausewayControl.IP, CausewayControl.IP))
    else:
        site.nat.sh("nft", "delete", "table", "ip", "cut")


def path_of(node, other):
    peer = node.seen().get(other.site.name, {})
    if peer.get("CurAddr"):
        return "direct " + peer["CurAddr"]
    return "relay " + peer["Relay"] if peer.get("Relay") else "unknown"


def measure(lab, sites, nodes, phase, seconds, rows, problems):
    for family in (4, 6):
        ends = [(sites[n].host, sites[n].host_addr(family)) for n in (1, 2)]
        reports = Udp(lab, *ends, rate=UDP_PPS[phase], seconds=seconds).wait()
        gone = lost(reports)
        for i in (0, 1):
            a, b = ends[i], ends[1 - i]
            got, rtt = a[0].ping(b[1], 20, interval=0.02)
            sent = reports[i]["tx"]["sent"]
            row = {"from": a[0].short, "to": b[0].short, "family": "ipv%d" % family,
                   "port": "kernel", "path": path_of(nodes[i], nodes[1 - i]),
                   "tcp_gbit": round(tcp_gbit(tcp(a[0], b[0], b[1], seconds)), 3),
                   "loss_pct": round(100.0 * gone[i] / sent, 3) if sent else 100.0,
                   "rtt_us": round(rtt) if rtt else None, "phase": phase}
            rows.append(row)
            case = case_name(row)
            if not row["path"].startswith(phase):
                problems.append((case, "%s -> %s goes %s" % (row["from"], row["to"],
                                                             row["path"])))
            if got != 20:
                problems.append((case, "%s -> %s: %d of 20 pings answered" %
                                 (row["from"], b[1], got)))
            if row["loss_pct"] > LOSS_LIMIT_PCT or not sent:
                problems.append((case, "%s -> %s: %d of %d UDP packets lost" %
                                 (row["from"], b[1], gone[i], sent)))
            if row["tcp_gbit"] <= 0:
                problems.append((case, "%s -> %s: no TCP" % (row["from"], b[1])))


def changes(node, since):
    """[(seconds after `since`, peer, way)] by the daemon's own log."""
    out = []
    for stamp, peer, way in re.findall(
            r"ts=(\S+) .*event=peer\.endpoint peer=(\S+) endpoint=(\S+)", node.daemon.log()):
        at = datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
        out.append((at - since, peer, way))
    return out


def go_direct(sites, nodes, problems):
    """Lets UDP through while hosts talk; says when each gateway found its way."""
    wait = Udp(nodes[0].lab, (sites[1].host, sites[1].host4), (sites[2].host, sites[2].host4),
               rate=50, seconds=8)
    t0 = time.time()
    for n in (1, 2):
        cut_udp(sites[n], False)
    try:
        wait_for(lambda: all(path_of(n, o).startswith("direct")
                             for n, o in (nodes[:2], nodes[1::-1])), 15, "a direct way")
    except LabError as e:
        problems.append((CHANGE, str(e)))
    wait.stop()
    wait.wait()
    print("\nUDP gets through at 0.00 s:")
    for n in nodes[:2]:
        for at, peer, way in changes(n, t0):
            print("  %7.2f s  %s -> %s by %s" % (at, n.site.name, peer,
                                                "the relay (%s)" % way if way.startswith("derp")
                                                else way))
    print()


def meet_stock(sites, nodes, rows, problems):
    """The third site, behind stock tailscaled, to and from both others."""
    stock = nodes[2]
    for i in (1, 2):
        for a, b in ((i, 3), (3, i)):
            got, rtt = sites[a].host.ping(sites[b].host4, 10, interval=0.05)
            if got != 10:
                problems.append((STOCK, "host%d -> host%d: %d of 10 pings" % (a, b, got)))
            node, other = (nodes[i - 1], stock) if a == i else (stock, nodes[i - 1])
            rows.append({"from": "host%d" % a, "to": "host%d" % b, "family": "ipv4",
                         "port": "kernel", "path": path_of(node, other), "tcp_gbit": None,
                         "loss_pct": None, "rtt_us": round(rtt) if rtt else None,
                         "phase": "stock"})


def run(a, rows, problems, done):
    """a: the lab's options. Leaves rows, problems as (case, text), and in done what was gone
    through."""
    with_stock = has_stock()
    lab = Lab(keep=a.keep, name="lab mesh")
    with lab:
        sites = Sites(lab, count=2 + with_stock, nat=(1, 2))
        control = CausewayControl(lab, sites)
        for n in (1, 2):
            cut_udp(sites[n], True)
        kinds = [CausewayMesh, CausewayMesh] + [Tailscaled] * with_stock
        nodes = [kind(lab, sites[i + 1], control=control) for i, kind in enumerate(kinds)]
        try:
            for n in nodes:
                n.start()
                control.approve(n)
            for family in (4, 6):
                sites[1].host.wait_ping(sites[2].host_addr(family), 15)
        except LabError as e:
            raise LabError("%s\n%s" % (e, "\n".join(n.logs() for n in nodes)))
        measure(lab, sites, nodes, "relay", a.time, rows, problems)
        go_direct(sites, nodes, problems)
        measure(lab, sites, nodes, "direct", a.time, rows, problems)
        if with_stock:
            meet_stock(sites, nodes, rows, problems)
        for n in nodes:
            if not n.alive():
                problems.append((HEALTH, "%s: a program ended\n%s" % (n.site.name, n.logs())))
            elif isinstance(n, CausewayMesh):
                problems.extend((HEALTH, "fault counter %s" % f) for f in n.faults())
        done.extend([CHANGE, HEALTH] + [STOCK] * with_stock)
        if a.keep:
            print("kept: namespaces %s-*; enter one with: ip netns exec %s-host1 bash" %
                  (lab.prefix, lab.prefix))
