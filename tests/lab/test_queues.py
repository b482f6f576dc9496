#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that several workers and interface queues carry traffic without losing or reordering a
packet of a flow, that they cost nothing while there is none, and that an interface may go down
or get another MAC address meanwhile.

Every veth pair has four queues each way, every gateway two workers. Cases of one port share a
topology and run one after another, the two ports side by side."""

import sys
import threading
import time

from cases import check, main
from flows import Udp, account, tcp, tcp_gbit
from netns import Lab, run
from nodes import Causeway, pair
from topology import Sites

QUEUES = 4
WORKERS = 2
HOSTS = 16  # flows of the numbered UDP
PPS = 6000
IDLE_SECONDS = 5
IDLE_LIMIT_PCT = 5.0
SHARE_MIN = 0.05  # of the packets, for a worker that takes part


class QueueLab(Lab):
    """A lab whose veth pairs have several queues."""

    def veth(self, a, a_if, b, b_if):
        queues = ["numrxqueues", str(QUEUES), "numtxqueues", str(QUEUES)]
        run(["ip", "link", "add", "name", a_if, "netns", a.name] + queues +
            ["type", "veth", "peer", "name", b_if, "netns", b.name] + queues)
        a.ip("link set dev %s up" % a_if)
        b.ip("link set dev %s up" % b_if)


class Pair:
    """Two sites and gateways, made when the first case needs them."""

    def __init__(self, port):
        self.port = port
        self.lock = threading.Lock()
        self.left = 0
        self.lab = None
        self.error = None
        self.excused = "none"

    def case(self, fn):
        self.left += 1

        def go():
            with self.lock:
                try:
                    check(not self.error, "not set up: %s" % self.error)
                    if not self.lab:
                        self.enter()
                    note = fn(self)
                    for n in self.nodes:
                        check(n.alive(), "a program ended\n" + n.logs())
                        bad = [f for f in n.faults() if self.excused not in f]
                        check(not bad, "fault counters: %s" % bad)
                    return note
                finally:
                    self.left -= 1
                    if not self.left and self.lab:
                        self.lab.close()
        return "%s-%s" % (fn.__name__.replace("_", "-"), self.port), go

    def enter(self):
        Causeway.require()
        self.lab = QueueLab(name="queues " + self.port)
        try:
            self.sites = Sites(self.lab, xdp=(1, 2) if self.port == "xdp" else (), hosts=HOSTS)
            self.join()
            self.nodes = [Causeway(self.lab, self.sites[n], port_kind=self.port,
                                   dp_args=["--workers", str(WORKERS)]) for n in (1, 2)]
            pair(*self.nodes)
            for n in self.nodes:
                n.start()
            for family in (4, 6):
                self.sites[1].host.wait_ping(self.sites[2].host_addr(family), 15)
        except BaseException as e:
            self.error = e
            raise

    def join(self):
        """The gateways' outer interfaces face each other: a bridge between them would choose
        queues anew, and by what is one flow outside."""
        s = [self.sites[n] for n in (1, 2)]
        for site in s:
            site.gw.ip("link del eth0")
        self.lab.veth(s[0].gw, "eth0", s[1].gw, "eth0")
        for site in s:
            site.gw.ip("addr add %s/24 dev eth0" % site.wan4,
                       "addr add %s/64 dev eth0 nodad" % site.wan6)
            if self.port == "xdp":
                Sites.prepare_xdp(site)

    def ends(self, family=4):
        return [(self.sites[n].host, self.sites[n].host_addr(family)) for n in (1, 2)]

    def verdicts(self, node):
        return node.show("ports")["ports"][0]["verdicts"]


def workers(node):
    return node.show("workers")["workers"]


def share(before, after, what):
    """How the packets counted between two looks divide over the workers."""
    n = [b[what] - a[what] for a, b in zip(before, after)]
    return [x / max(1, sum(n)) for x in n]


def udp(p):
    """Numbered packets of 16 flows both ways; every one arrives, once and in its flow's order."""
    notes = []
    for family in (4, 6):
        before = [workers(n) for n in p.nodes]
        reports = Udp(p.lab, *p.ends(family), rate=PPS, seconds=3, hosts=HOSTS).wait()
        after = [workers(n) for n in p.nodes]
        for tx, rx in ((reports[0]["tx"], reports[1]["rx"]), (reports[1]["tx"], reports[0]["rx"])):
            check(tx["sent"] > 2 * PPS, account(reports))
            check(rx["unique"] == tx["sent"] and not rx["duplicates"] and not rx["reordered"],
                  account(reports))
        # Sockets of the kernel see one flow of outer packets: it has one worker.
        for what in ("rx_inside", "rx_outside") if p.port == "xdp" else ("rx_inside",):
            for i, node in enumerate(p.nodes):
                got = share(before[i], after[i], what)
                check(min(got) >= SHARE_MIN, "%s: %s of the workers: %s" %
                      (node.site.name, what, got))
                notes.append("%s %s %s" % (node.site.name, what,
                                           "/".join("%.0f%%" % (100 * x) for x in got)))
    return ", ".join(notes[:4])


def tcp_both_ways(p):
    gbit = []
    for family in (4, 6):
        a, b = p.ends(family)
        for client, server in ((a, b), (b, a)):
            doc = tcp(client[0], server[0], server[1], 1, streams=8)
            check(all(s["receiver"]["bytes"] > 0 for s in doc["end"]["streams"]),
                  "a stream stood still")
            gbit.append(tcp_gbit(doc))
    return "%s Gbit/s" % " ".join("%.2f" % g for g in gbit)


def idle(p):
    """CPU time of both programs with two workers and nothing to do."""
    time.sleep(1)
    t0, before = time.monotonic(), [n.cpu_ns() for n in p.nodes]
    time.sleep(IDLE_SECONDS)
    wall = time.monotonic() - t0
    pct = [(n.cpu_ns() - b) / wall / 1e7 for n, b in zip(p.nodes, before)]
    check(max(pct) < IDLE_LIMIT_PCT, "idle gateways take %s %% of a core" % pct)
    return "%.2f and %.2f %% of a core" % tuple(pct)


def rises(p, node, name, host, to, seconds=5):
    """Pings until the steering program has taken packets with this verdict."""
    start = p.verdicts(node)[name]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        host.ping(to, 5, 0.3, interval=0.02)
        if p.verdicts(node)[name] >= start + 5:
            return
    check(False, "%s: %s stays at %d: %s" % (node.site.name, name, start, p.verdicts(node)))


def new_mac(p):
    """Frames to a gateway's new MAC are still the dataplane's, inside and outside."""
    s1, s2 = p.sites[1], p.sites[2]
    s1.gw.ip("link set dev eth1 address 02:00:00:00:01:01",
             "link set dev eth0 address 02:00:00:00:01:02")
    time.sleep(0.3)
    # The others learn it as after any change of hardware.
    s1.host.ip("neigh flush dev eth0")
    s2.gw.ip("neigh flush dev eth0")
    s1.host.wait_ping(s2.host4, 5)
    rises(p, p.nodes[0], "LAN_MESH", s1.host, s2.host4)
    rises(p, p.nodes[0], "WAN_DATA", s1.host, s2.host4)
    rises(p, p.nodes[1], "WAN_DATA", s1.host, s2.host4)


def down_up(p):
    """Each interface down for a second under traffic, then up: all goes on as before."""
    s1, s2 = p.sites[1], p.sites[2]
    took = []
    # What lay in a ring meanwhile leaves late: behind the other worker's newer packets.
    p.excused = "DROP_OPEN_TOO_OLD"
    for dev in ("eth1", "eth0"):
        flow = Udp(p.lab, *p.ends(), rate=PPS, seconds=4, hosts=HOSTS)
        time.sleep(1)
        s1.gw.ip("link set dev %s down" % dev)
        time.sleep(1)
        s1.gw.ip("link set dev %s up" % dev)
        took.append(s1.host.wait_ping(s2.host4, 5))
        reports = flow.wait()
        for r in reports:
            check(r["rx"]["last_ns"] > r["tx"]["start_ns"] + 3e9, "%s: silent since: %s" %
                  (dev, account(reports)))
    if p.port == "xdp":
        rises(p, p.nodes[0], "LAN_MESH", s1.host, s2.host4)
        rises(p, p.nodes[0], "WAN_DATA", s1.host, s2.host4)
    return "back after %.2f and %.2f s" % tuple(took)


def probed(p):
    """`dp show ports` names what was found, and every name once."""
    row = p.nodes[0].show("ports")["ports"][0]
    for key in ("csum", "tso", "uso"):
        check(isinstance(row["tun_device"][key], bool), "tun_device: %s" % row["tun_device"])
    for key in ("gso", "gro"):
        check(isinstance(row["udp"][key], bool), "udp: %s" % row["udp"])
    check(row["tun_device"]["queues"] == WORKERS, "queues: %s" % row["tun_device"])
    text = p.nodes[0].cli("dp", "show", "ports").stdout
    words = ["cw0", "gso", "gro", "tso"]
    if p.port == "xdp":
        check(row["multi_buffer"] in ("none", "available, not used"), str(row))
        for d in row["interfaces"]:
            check(d["mode"] == "native" and len(d["queues"]) == QUEUES, str(d))
            check({q["worker"] for q in d["queues"]} == set(range(WORKERS)), str(d))
            check(all(isinstance(q["zero_copy"], bool) for q in d["queues"]), str(d))
        words += ["native", "eth0", "eth1"]
    for w in words:
        check(w in text, "no %s in:\n%s" % (w, text))


if __name__ == "__main__":
    kernel, xdp = Pair("kernel"), Pair("xdp")
    group = []
    for fn in (probed, udp, tcp_both_ways, idle):
        group += [kernel.case(fn), xdp.case(fn)]
    group += [xdp.case(new_mac), kernel.case(down_up), xdp.case(down_up)]
    sys.exit(main([group], __doc__))
