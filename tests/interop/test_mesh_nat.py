#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that nodes of ours and stock tailscaleds reach each other across NATs, every pair: direct
wherever two stock nodes get direct, by the relay else, and on the path that they show, counted on
the wire and at the relay. And that a flow whose NAT forgets its mapping goes on within 2 s between
nodes of ours, and with a stock node on one end not later than between two stock nodes.

The coordinator and the relay are causeway-coord and causeway-derp. A sample of the pairs and one
round; all of them and five rounds with CAUSEWAY_LAB_ALL."""

import concurrent.futures
import os
import re
import sys
import time
from statistics import mean

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from nat import COORD, KINDS, Internet, counted  # noqa: E402
from netns import Lab, wait_for  # noqa: E402
from nodes import CausewayControl, CausewayMesh, Tailscaled  # noqa: E402

ALL = bool(os.environ.get("CAUSEWAY_LAB_ALL"))
WATCHED = 9  # seconds for a direct way
PINGS, BIG = 20, 1000
STOCK_TRUST = 6.5
SOFTWARE = {"ours": CausewayMesh, "stock": Tailscaled}


def is_direct_for_stock(a, b):
    """The pairs that two stock nodes bring to a direct way; with CAUSEWAY_LAB_ALL they are asked."""
    kinds = {a, b}
    return "noudp" not in kinds and not ("sym" in kinds and "open" not in kinds)


class Control(CausewayControl):
    def __init__(self, lab, internet):
        self.IP = COORD
        self.begin(lab, internet.coordinator())
        self.ns.nft("table inet relay {\n\tchain out {\n\t\ttype filter hook output priority "
                    "filter;\n\t\ttcp sport 3443 counter\n\t}\n}\n")

    def relayed_bytes(self):
        return counted(self.ns, "relay")[1]


class World:
    """Nodes 1.. of these (software, kind), in one mesh."""

    def __init__(self, name, nodes):
        self.lab = Lab(name="nat-" + name)
        try:
            self.internet = Internet(self.lab)
            self.control = Control(self.lab, self.internet)
            self.nodes = [self.make(i + 1, *n) for i, n in enumerate(nodes)]
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda n: n.start(), self.nodes))
            for n in self.nodes:
                wait_for(lambda: len(n.seen()) == len(nodes) - 1, 20, "the peers of " + n.what)
                n.mesh = n.status()["Self"]["TailscaleIPs"][0]
        except BaseException as e:
            self.report(e)
            self.lab.close()
            raise

    def make(self, number, software, kind):
        place = self.internet.place(number, kind)
        place.gw = place.ns
        # Advertised, and never approved: these nodes have no hosts.
        place.net4, place.net6 = "10.%d.0.0/24" % number, "fd%02d::/64" % number
        node = SOFTWARE[software](self.lab, place, control=self.control)
        node.place, node.what = place, "%s %s (n%d)" % (software, kind, number)
        node.software, node.nat = software, kind
        return node

    def report(self, e):
        if not isinstance(e, KeyboardInterrupt):
            sys.stderr.write("\n".join(n.logs() for n in getattr(self, "nodes", [])) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, kind, e, tb):
        if e is not None and os.environ.get("CAUSEWAY_LAB_TRACE"):
            self.report(e)
        self.lab.close()


def pinging(a, b, seconds, interval=0.2):
    """A ping that runs; its replies with their times are in its output."""
    pinging.count += 1
    name = "ping-%d" % pinging.count
    return a.place.ns.start(name, ["ping", "-n", "-D", "-i", interval, "-w", seconds, b.mesh],
                            stdout=a.lab.path(name + ".out"))


pinging.count = 0


def replies(proc):
    """Unix times of the replies."""
    return [float(t) for t in re.findall(r"^\[([\d.]+)\] \d+ bytes from", proc.output(), re.M)]


def way(a, b):
    """How a shows its way to b: an endpoint, or "" for the relay."""
    return a.seen()[b.place.name]["CurAddr"]


def settle(pairs, seconds=WATCHED):
    """Pings in all pairs until the ones that should be direct are, at most so long.
    {pair: seconds until both ends were direct}"""
    begun = time.monotonic()
    pings = [pinging(a, b, int(seconds + 2)) for a, b in pairs]
    direct = {}
    ends = sorted({n for p in pairs for n in p}, key=lambda n: n.place.n)
    try:
        while time.monotonic() - begun < seconds:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                seen = dict(zip(ends, pool.map(lambda n: n.seen(), ends)))
            now = time.monotonic() - begun
            for a, b in pairs:
                if seen[a][b.place.name]["CurAddr"] and seen[b][a.place.name]["CurAddr"]:
                    direct.setdefault((a, b), now)
            if all(p in direct for p in pairs if is_direct_for_stock(p[0].nat, p[1].nat)):
                break
            time.sleep(0.1)
    finally:
        for p in pings:
            p.stop()
    for (a, b), p in zip(pairs, pings):
        check(replies(p), "%s to %s: not one reply" % (a.what, b.what))
    return direct


def judge(world, a, b):
    """Traffic of one pair: all of it arrives, on the way that is shown."""
    shown = way(a, b)
    a.place.count_to(b.place, over=BIG)
    before = world.control.relayed_bytes()
    out = a.place.ns.sh("ping", "-n", "-q", "-i", "0.02", "-c", PINGS, "-s", BIG, "-W", 2, b.mesh,
                        check=False, timeout=30).stdout
    relayed = world.control.relayed_bytes() - before
    wire = a.place.sent_to(b.place)
    a.place.ns.sh("nft", "delete", "table", "inet", "to%d" % b.place.n)
    got = int(re.search(r"(\d+) received", out).group(1))
    name = "%s to %s" % (a.what, b.what)
    check(got >= PINGS * 3 // 4, "%s: %d of %d pings answered" % (name, got, PINGS))
    if shown and shown == way(a, b):
        check(wire >= got * BIG, "%s: shows %s, but %d bytes went there" % (name, shown, wire))
    elif not shown and not way(a, b):
        check(relayed >= got * BIG, "%s: shows the relay, which sent %d bytes" % (name, relayed))
        check(wire < got * BIG, "%s: shows the relay, but %d bytes went direct" % (name, wire))


def matrix(name, left, right):
    """Every node of left with every one of right."""
    def case():
        with World(name, left + right) as w:
            pairs = [(a, b) for a in w.nodes[:len(left)] for b in w.nodes[len(left):]]
            direct = settle(pairs)
            faults = []
            for a, b in pairs:
                try:
                    judge(w, a, b)
                except Exception as e:
                    faults.append(str(e))
            reached = {(a.nat, b.nat) for a, b in direct if a.software == b.software == "stock"}
            for a, b in pairs:
                # Both what was measured here and what is known: one run of stock may fail.
                if ((is_direct_for_stock(a.nat, b.nat) or (a.nat, b.nat) in reached) and
                        (a, b) not in direct and "ours" in (a.software, b.software)):
                    faults.append("%s and %s: not direct in %d s" % (a.what, b.what, WATCHED))
            check(not faults, "; ".join(faults))
            for line in table(pairs, direct):
                print("    " + line, flush=True)
            times = sorted(direct.values())
            return "%d pairs, %d direct, slowest after %.1f s" % (len(pairs), len(direct),
                                                                  times[-1] if times else 0)
    return "matrix-" + name, case


def table(pairs, direct):
    for a, b in pairs:
        took = direct.get((a, b))
        yield "%-16s %-16s %s" % (a.what.rsplit(" ", 1)[0], b.what.rsplit(" ", 1)[0],
                                  "direct %.1f s" % took if took else "relay")


def gap_after_remap(pairs, base):
    """All left nodes' NATs forget. {pair: s without a reply}"""
    pings = {p: pinging(p[0], p[1], 25, 0.05) for p in pairs}
    time.sleep(1.5)
    at = time.time()
    for a, _ in pairs:
        a.place.remap(base, base + 999)
    time.sleep(14)
    gaps = {}
    for p, proc in pings.items():
        proc.stop()
        got = [at] + [t for t in replies(proc) if t > at]
        check(len(got) > 1, "%s to %s: silent since the NAT forgot" % (p[0].what, p[1].what))
        gaps[p] = max(y - x for x, y in zip(got, got[1:]))
    return gaps


def mapping_forgotten():
    rounds = 5 if ALL else 1
    kinds = [("ours", "ours"), ("ours", "stock"), ("stock", "ours"), ("stock", "stock")]
    with World("forgets", [(s, "eim") for k in kinds for s in k]) as w:
        pairs = list(zip(w.nodes[::2], w.nodes[1::2]))
        gaps = {k: [] for k in kinds}
        for r in range(rounds):
            direct = settle(pairs, 40)
            for a, b in pairs:
                check((a, b) in direct, "%s and %s are not direct before" % (a.what, b.what))
            for (a, b), gap in gap_after_remap(pairs, 20000 + 2000 * r).items():
                gaps[a.software, b.software].append(gap)
        text = ", ".join("%s-%s %s" % (k + (" ".join("%.1f" % g for g in gaps[k]),))
                         for k in kinds)
        print("    s without a reply: " + text, flush=True)
        check(max(gaps["ours", "ours"]) <= 2, text)
        # A stock node goes on into the void until its trust ends, 3.5 to 6.5 s later, as the
        # forgetting falls between two of its heartbeats: single gaps compare by that only.
        stock = gaps["stock", "stock"]
        for k in kinds[1:3]:
            check(max(gaps[k]) <= max(stock + [STOCK_TRUST]) + 0.5, text)
            check(mean(gaps[k]) <= mean(stock) + (1.5 if ALL else 3.5), text)
        return text


def both(*kinds):
    return [(s, k) for k in kinds for s in ("ours", "stock")]


if ALL:
    MATRIX = [matrix("all", both(*KINDS), both(*KINDS))]
else:
    MATRIX = [matrix("sample", [("ours", "eim"), ("ours", "sym"), ("stock", "noudp")],
                     [("ours", "open"), ("ours", "eim"), ("stock", "eim"), ("ours", "noudp")])]

if __name__ == "__main__":
    sys.exit(main([MATRIX, [("mapping-forgotten", mapping_forgotten)]], __doc__))
