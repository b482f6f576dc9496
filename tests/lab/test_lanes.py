#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the traffic of one peer spreads over lanes with each flow in order, also behind a
NAT that rewrites ports; that it goes back to lane 0 when a lane falls silent, and over a rekey
and a restart of causewayd without loss; and that a peer without lanes sees nothing of them.

Cases of one topology run one after another, the topologies side by side."""

import sys
import threading
import time

from cases import check, main
from flows import Udp, account
from netns import Lab, wait_for
from nodes import Causeway, WireguardGo, pair
from test_queues import Pair, WORKERS
from topology import Sites

HOSTS = 16  # flows of the numbered UDP
PPS = 1500
SHARE_MIN = 0.1  # of the packets, for a lane that takes part
CLOSE_SECONDS = 3  # from its last answered ping a lane goes on that long
REKEY_SECONDS = 120


class Topology:
    """Two sites and their nodes, made when the first case needs them."""

    def __init__(self, name, make):
        self.name, self.make, self.lock = name, make, threading.Lock()
        self.left, self.lab, self.error = 0, None, None

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
                    return note
                finally:
                    self.left -= 1
                    if not self.left and self.lab:
                        self.lab.close()
        return "%s-%s" % (fn.__name__.replace("_", "-"), self.name), go

    def enter(self):
        Causeway.require()
        self.lab = Lab(name="lanes " + self.name, first=True)
        try:
            self.make(self)
            for n in self.nodes:
                n.start()
            self.sites[1].host.wait_ping(self.sites[2].host4, 15)
        except BaseException as e:
            self.error = e
            raise

    def ends(self):
        return [(self.sites[n].host, self.sites[n].host4) for n in (1, 2)]


def causeway(t, n, **kw):
    return Causeway(t.lab, t.sites[n], dp_args=["--workers", str(WORKERS)], **kw)


def plain(t):
    t.sites = Sites(t.lab, hosts=HOSTS)
    t.nodes = [causeway(t, n) for n in (1, 2)]
    pair(*t.nodes)


def behind_nat(t):
    """Gateway 1 is behind a box that gives every mapping a port of its own choice."""
    t.sites = Sites(t.lab, hosts=HOSTS, nat=(1,))
    t.sites[1].nat.nft("flush chain ip nat out\n"
                       "add rule ip nat out oifname \"eth0\" masquerade random\n")
    t.nodes = [causeway(t, n) for n in (1, 2)]
    t.nodes[0].add_peer(t.nodes[1])
    t.nodes[1].add_peer(t.nodes[0], endpoint=False)


def dpdk(t):
    """Gateways on ethdevs of their own (net_af_packet), one of them behind the same NAT."""
    t.sites = Sites(t.lab, hosts=HOSTS, dpdk=(1, 2), nat=(1,))
    t.sites[1].nat.nft("flush chain ip nat out\n"
                       "add rule ip nat out oifname \"eth0\" masquerade random\n")
    t.nodes = [causeway(t, n, port_kind="dpdk", dpdk_queues=WORKERS) for n in (1, 2)]
    t.nodes[0].add_peer(t.nodes[1])
    t.nodes[1].add_peer(t.nodes[0], endpoint=False)


def stock(t):
    t.sites = Sites(t.lab, hosts=HOSTS)
    t.nodes = [causeway(t, 1), WireguardGo(t.lab, t.sites[2])]
    pair(*t.nodes)


def lanes_open(node):
    return node.show("peers")["peers"][0]["lanes"]


def sessions(node):
    return node.show("sessions")["sessions"]


def wait_open(t, count=WORKERS, seconds=10):
    wait_for(lambda: all(lanes_open(n) == count for n in t.nodes), seconds,
             "%d lanes: %s" % (count, [sessions(n) for n in t.nodes]), step=0.1)


def run(t, seconds, rate=PPS, hosts=HOSTS):
    return Udp(t.lab, *t.ends(), rate=rate, seconds=seconds, hosts=hosts)


def gone(reports):
    """Packets lost in each direction."""
    return [reports[0]["tx"]["sent"] - reports[1]["rx"]["unique"],
            reports[1]["tx"]["sent"] - reports[0]["rx"]["unique"]]


def clean(reports):
    """Every packet arrived, once, in the order of its flow."""
    check(gone(reports) == [0, 0], account(reports))
    for r in reports:
        check(r["rx"]["packets"] > 0 and not r["rx"]["duplicates"] and not r["rx"]["reordered"],
              account(reports))


def counters(node, what):
    """By lane, over all of its sessions."""
    out = {}
    for s in sessions(node):
        out[s["lane"]] = out.get(s["lane"], 0) + s[what]
    return out


def shares(before, after):
    n = {k: after[k] - before.get(k, 0) for k in after}
    total = max(1, sum(n.values()))
    return {k: n[k] / total for k in n}


def open_all(t):
    """Some traffic until every lane carries data both ways."""
    flow = run(t, 3)
    wait_open(t)
    flow.wait()


def spread(t):
    """Flows divide over the lanes on both sides, both ways, none is lost or overtaken."""
    open_all(t)
    flow = run(t, 6)
    wait_open(t)
    time.sleep(1.5)  # workers have left lane 0 by then
    before = [[counters(n, w) for w in ("send_counter", "recv_counter")] for n in t.nodes]
    time.sleep(2)
    after = [[counters(n, w) for w in ("send_counter", "recv_counter")] for n in t.nodes]
    clean(flow.wait())
    notes = []
    for i, n in enumerate(t.nodes):
        for k in (0, 1):
            got = shares(before[i][k], after[i][k])
            check(all(got.get(x, 0) >= SHARE_MIN for x in range(1, WORKERS + 1)),
                  "%s: shares of lanes %s" % (n.site.name, got))
            check(got.get(0, 0) < 0.05, "%s: shares of lanes %s" % (n.site.name, got))
            notes.append("/".join("%.0f%%" % (100 * got[x]) for x in sorted(got)))
    return ", ".join(notes)


def receivers(t):
    """Lanes of the one peer are received by different workers."""
    flow = run(t, 5)
    wait_open(t)
    time.sleep(1)
    before = [n.show("workers")["workers"] for n in t.nodes]
    time.sleep(2)
    after = [n.show("workers")["workers"] for n in t.nodes]
    flow.wait()
    for i, n in enumerate(t.nodes):
        got = [a["rx_outside"] - b["rx_outside"] for b, a in zip(before[i], after[i])]
        check(min(got) >= SHARE_MIN * sum(got), "%s: %s" % (n.site.name, got))


def idle(t):
    """Without data lanes close, and nothing is sent in them."""
    wait_for(lambda: not any(lanes_open(n) for n in t.nodes), 15, "lanes to close", step=0.2)
    time.sleep(2)
    before = [counters(n, "send_counter") for n in t.nodes]
    time.sleep(3)
    after = [counters(n, "send_counter") for n in t.nodes]
    for b, a in zip(before, after):
        check({k: v for k, v in b.items() if k} == {k: v for k, v in a.items() if k},
              "%s, then %s" % (b, a))


def opener(t):
    """The node whose lane ports are used, and the other one."""
    for i, n in enumerate(t.nodes):
        rows = [s for s in sessions(n) if s.get("port_lane")]
        if rows:
            return n, t.nodes[1 - i], rows[0]["port_lane"]
    check(False, "nobody has opened a lane: %s" % [sessions(n) for n in t.nodes])


def lane_port(node, lane):
    return node.show("ports")["ports"][0]["udp"]["lane_port"] + lane - 1


def cut(node, theirs, ours=None):
    """Nothing passes node any more that is from or to that port of the other side, or ours."""
    rule = {"in": "udp sport %d drop; " % theirs, "out": "udp dport %d drop; " % theirs}
    if ours:
        rule = {"in": rule["in"] + "udp dport %d drop; " % ours,
                "out": rule["out"] + "udp sport %d drop; " % ours}
    node.site.gw.nft("table inet cut {\n"
                     " chain in { type filter hook input priority 0; %s}\n"
                     " chain out { type filter hook output priority 0; %s}\n}\n" %
                     (rule["in"], rule["out"]))


def heal(node):
    node.site.gw.nft("delete table inet cut\n")


def rerouted(t):
    """The opener's port pair of a lane is cut: the other side opens one, and the lane goes on."""
    open_all(t)
    flow = run(t, 8)
    wait_open(t)
    time.sleep(1.5)
    node, other, lane = opener(t)
    cut(other, lane_port(node, lane))
    try:
        lost = gone(flow.wait())
        limit = (CLOSE_SECONDS + 0.5) * PPS
        check(max(lost) <= limit, "lost %s of %d a second" % (lost, PPS))
        again = run(t, 3)
        wait_open(t)
        rows = [s for s in sessions(other) if s["lane"] == lane and s["current"]]
        check([s["port_lane"] for s in rows] == [lane], str(rows))
        clean(again.wait())
    finally:
        heal(other)
    return "lost %s at %d a second" % (lost, PPS)


def blocked(t):
    """All ports of one lane are cut: its flows are in lane 0 within 3 s, the other lane stays;
    the cut is mended and the lane opens again."""
    open_all(t)
    flow = run(t, 6)
    wait_open(t)
    time.sleep(1.5)
    node, other, lane = opener(t)
    cut(other, lane_port(node, lane), lane_port(other, lane))
    try:
        lost = gone(flow.wait())
        limit = (CLOSE_SECONDS + 0.5) * PPS
        check(0 < max(lost) and max(lost) <= limit, "lost %s of %d a second" % (lost, PPS))
        again = run(t, 3)
        time.sleep(1)
        check([lanes_open(n) for n in t.nodes] == [WORKERS - 1] * 2, "%s" %
              [sessions(n) for n in t.nodes])
        clean(again.wait())
    finally:
        heal(other)
    open_all(t)
    clean(run(t, 2).wait())
    return "lost %s at %d a second" % (lost, PPS)


def daemon_restart(t):
    """causewayd is killed and stays away until lanes have closed, then it comes back and opens
    those that the dataplane still has. No packet is lost."""
    open_all(t)
    flow = run(t, 12)
    wait_open(t)
    before = {s["local_index"] for s in sessions(t.nodes[0]) if s["lane"]}
    t.nodes[0].kill_daemon()
    wait_for(lambda: lanes_open(t.nodes[0]) == 0, 6, "lanes to close", step=0.1)
    t.nodes[0].start_daemon()
    t.nodes[0].wait_ready()
    wait_open(t)
    after = {s["local_index"] for s in sessions(t.nodes[0]) if s["lane"]}
    check(before == after, "lanes %s, then %s" % (before, after))
    reports = flow.wait()
    check(gone(reports) == [0, 0], account(reports))


def rewritten(t):
    """Through the NAT lanes come from ports that it chose, and answers go there."""
    open_all(t)
    flow = run(t, 2)
    wait_open(t)
    first = t.nodes[0].show("ports")["ports"][0]["udp"]["lane_port"]
    rows = [s for s in sessions(t.nodes[1]) if s["lane"] and s["current"]]
    check(len(rows) == WORKERS, str(rows))
    for s in rows:
        address, _, port = s["endpoint"].rpartition(":")
        check(address == t.sites[1].nat_wan4, str(s))
        check(not first <= int(port) < first + 16, str(s))
        check(s["port_lane"] == 0, str(s))
    clean(flow.wait())


def flushed(t):
    """The NAT forgets its mappings: lanes come by new ports and go on."""
    open_all(t)
    flow = run(t, 10)
    wait_open(t)
    time.sleep(1.5)
    old = {s["endpoint"] for s in sessions(t.nodes[1]) if s["lane"] and s["current"]}
    t.sites[1].nat.sh("conntrack", "-F", check=False)

    def moved():
        rows = [s for s in sessions(t.nodes[1]) if s["lane"] and s["current"]]
        return len(rows) == WORKERS and not old & {s["endpoint"] for s in rows}
    wait_for(moved, 6, "lanes by other ports than %s" % old, step=0.1)
    lost = gone(flow.wait())
    check(lost[0] == 0 and lost[1] <= (CLOSE_SECONDS + 0.5) * PPS, "lost %s" % lost)
    clean(run(t, 2).wait())
    return "lost %s at %d a second" % (lost, PPS)


def undisturbed(t):
    """A stock peer: traffic as ever, it is sent three messages that it drops, nothing comes
    from another port, and it does not take us to be elsewhere."""
    gw = t.sites[2].gw
    gw.nft("table inet count {\n chain in { type filter hook input priority 0;\n"
           "  udp dport %d udp sport != %d counter name other\n }\n counter other { }\n}\n" %
           (t.nodes[1].port, t.nodes[0].port))
    clean(run(t, 8).wait())
    check(lanes_open(t.nodes[0]) == 0, str(sessions(t.nodes[0])))
    check({s["lane"] for s in sessions(t.nodes[0])} == {0}, str(sessions(t.nodes[0])))
    other = gw.sh("nft", "list", "counter", "inet", "count", "other").stdout
    check("packets 0 " in other, other)
    shown = t.nodes[1].show()[t.nodes[0].public]
    check(shown["endpoint"] == "%s:%d" % (t.sites[1].wan4, t.nodes[0].port), str(shown))
    strange = t.nodes[1].procs[0].log().count("invalid IP version")
    check(0 < strange <= 3, "%d messages of no IP version" % strange)
    return "%d announcements" % strange


def rekey(t):
    """A new session takes over under traffic: lanes go over to it, nothing is lost."""
    open_all(t)
    flow = run(t, REKEY_SECONDS + 15, rate=400)
    wait_open(t)
    before = {s["local_index"] for s in sessions(t.nodes[0]) if s["lane"] and s["current"]}

    def renewed():
        rows = [s for s in sessions(t.nodes[0]) if s["lane"] and s["current"]]
        return len(rows) == WORKERS and not before & {s["local_index"] for s in rows}
    wait_for(renewed, REKEY_SECONDS + 10, "lanes of a new session", step=0.5)
    clean(flow.wait())


def xdp_spread(p):
    """The same over AF_XDP: frames come and go by lane ports."""
    t = p
    flow = Udp(p.lab, *p.ends(), rate=PPS, seconds=8, hosts=HOSTS)
    wait_for(lambda: all(lanes_open(n) == WORKERS for n in p.nodes), 10, "lanes: %s" %
             [sessions(n) for n in p.nodes], step=0.1)
    time.sleep(1.5)
    before = [counters(n, "recv_counter") for n in t.nodes]
    steered = [p.verdicts(n)["WAN_DATA"] for n in t.nodes]
    time.sleep(2)
    after = [counters(n, "recv_counter") for n in t.nodes]
    got = [shares(b, a) for b, a in zip(before, after)]
    for i, n in enumerate(t.nodes):
        check(all(got[i].get(x, 0) >= 0.02 for x in range(1, WORKERS + 1)), str(got))
        check(got[i].get(0, 0) < 0.05, str(got))
        taken = p.verdicts(n)["WAN_DATA"] - steered[i]
        check(taken >= sum(after[i].values()) - sum(before[i].values()) - PPS,
              "%s: XDP took %d" % (n.site.name, taken))
    clean(flow.wait())
    return str([{k: round(v, 2) for k, v in g.items()} for g in got])


def dpdk_spread(t):
    """The same on a dpdk port, by ports that the NAT chose."""
    open_all(t)
    flow = run(t, 6)
    wait_open(t)
    time.sleep(1.5)
    before = [counters(n, "recv_counter") for n in t.nodes]
    time.sleep(2)
    after = [counters(n, "recv_counter") for n in t.nodes]
    rows = [s for s in sessions(t.nodes[1]) if s["lane"] and s["current"]]
    check(len({s["endpoint"] for s in rows}) == WORKERS, str(rows))
    clean(flow.wait())
    got = [shares(b, a) for b, a in zip(before, after)]
    for g in got:
        check(all(g.get(x, 0) >= 0.02 for x in range(1, WORKERS + 1)), str(got))
        check(g.get(0, 0) < 0.05, str(got))
    return str([{k: round(v, 2) for k, v in g.items()} for g in got])


if __name__ == "__main__":
    kernel, nat, foreign = (Topology("kernel", plain), Topology("nat", behind_nat),
                            Topology("wireguard-go", stock))
    long, xdp, ethdev = Topology("time", plain), Pair("xdp"), Topology("nat", dpdk)
    sys.exit(main([
        [long.case(rekey)] +
        [kernel.case(f) for f in (spread, receivers, rerouted, blocked,
                                     daemon_restart, idle)] +
        [nat.case(f) for f in (rewritten, spread, flushed)] +
        [foreign.case(undisturbed), xdp.case(xdp_spread), ethdev.case(dpdk_spread)]], __doc__))
