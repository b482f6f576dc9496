#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf latency: how long packets take from host to host at half of what the path carries.

The topology of perf wireguard. For each implementation, and for the same path without a tunnel
(the gateways' kernels route), the throughput of 64 B packets is searched for first, as RFC 2544
means it (0.001 % loss), then packets go at half of it, evenly, and carry when they were sent.
Only one packet in a million could be later than the largest that is shown. All share the cores,
so a packet may wait for its turn at source, gateways or sink alike: what the path without a
tunnel takes at the same rate stands beside it, and `added` is the difference of the two."""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from flows import Udp  # noqa: E402
from netns import Lab, LabError, Skip  # noqa: E402
from rfc2544 import Trial, search  # noqa: E402
from rows import compare, machine, number, row, write  # noqa: E402
from topology import Sites  # noqa: E402
from wireguard import setup, unniced  # noqa: E402

BARE, REFERENCE = "no tunnel", "wireguard-go"
IMPLS = ("causeway-kernel", "causeway-xdp", "wireguard-go")
FIGURES = (("p50", 50), ("p99", 99), ("p999", 99.9), ("max", 100))
SIZE = 64
HIGHEST_PPS = 600000
PRECISION = 0.1
TICK_US = 200


def bare(lab):
    """The path with nothing in it but two routers."""
    s = Sites(lab)
    for n, other in ((1, 2), (2, 1)):
        s[n].gw.ip("route add %s via %s" % (s[other].net4, s[other].wan4))
    s[1].host.wait_ping(s[2].host4, 10)
    return s, []


def load(lab, s, rate, seconds):
    """(Trial, latency of it)"""
    r = Udp(lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=rate, seconds=seconds,
            size=SIZE, both=False, wait=0.2, linger=0.1, stamps=True, tick_us=TICK_US).wait()
    tx, rx = r[0]["tx"], r[1]
    return Trial(tx["sent"], rx["rx"]["unique"], tx["sent"] / max(1e-9, tx["seconds"])), \
        rx["latency"]


def stolen():
    """Seconds in which the machine below took the cores away, so far."""
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


class Round:
    """Half of an implementation's throughput is found in its first round and kept."""

    def __init__(self, a):
        self.a, self.rates = a, {}

    def throughput(self, lab, s, impl):
        got = search(lambda rate: load(lab, s, rate, self.a.trial)[0], self.a.highest,
                     precision=PRECISION, repeat=2)
        if not got:
            raise LabError("%s: no rate without loss" % impl)
        self.rates[impl] = got.rate

    def run(self, impl):
        with Lab(name="perf latency " + impl) as lab:
            s, nodes = bare(lab) if impl == BARE else setup(lab, impl)
            if impl != BARE and impl not in self.rates:
                self.throughput(lab, s, impl)
            out = {}
            # The path without a tunnel: at the rates of all the others.
            for name in ([impl] if impl != BARE else list(self.rates)):
                before = stolen()
                trial, latency = load(lab, s, self.rates[name] / 2, self.a.time)
                out[name] = dict(latency, loss=trial.loss, rate=trial.rate,
                                 stolen=stolen() - before)
            if not all(n.alive() for n in nodes):
                raise LabError("a daemon ended\n" + "\n".join(n.logs() for n in nodes))
            return out


def rounds(a):
    """{(implementation, at whose rate): [what load() measured, a round each]}, {impl: rate}"""
    r, got = Round(a), {}
    for i in range(a.runs):
        for impl in a.impl + [BARE]:
            try:
                some = r.run(impl)
            except LabError as e:
                print("perf latency: round %d of %s: %s" % (i + 1, impl, e), file=sys.stderr)
                continue
            for at, v in some.items():
                got.setdefault((impl, at), [None] * a.runs)[i] = v
        print("perf latency: round %d of %d done" % (i + 1, a.runs), file=sys.stderr)
    return got, r.rates


def rows_of(got, rates, a, cpu):
    rows = [row("latency", "throughput", "packets/s", [rates[i]], "higher", i, {"size": SIZE},
                cpu) for i in rates]
    for (impl, at), values in got.items():
        under = [got.get((BARE, at), [None] * a.runs)[i] for i in range(a.runs)]
        reference = got.get((REFERENCE, REFERENCE), [None] * a.runs)
        params = {"size": SIZE, "rate": round(rates[at] / 2), "of": at}
        for name, percent in FIGURES:
            us = [v and v[name] / 1000 for v in values]
            p = dict(params, percentile=percent)
            r = row("latency", "latency", "us", us, "lower", impl, p, cpu)
            if impl != BARE:
                compare(r, [v and v[name] / 1000 for v in reference], REFERENCE)
                rows.append(row("latency", "added", "us", [
                    u - b[name] / 1000 if u is not None and b else None
                    for u, b in zip(us, under)], "lower", impl, p, cpu))
            rows.append(r)
        rows.append(row("latency", "lost", "%", [v and 100 * v["loss"] for v in values], "",
                        impl, params, cpu))
        rows.append(row("latency", "cores taken away", "s", [v and v["stolen"] for v in values],
                        "", impl, params, cpu))
    return [r for r in rows if r]


def table(rows, cpu):
    print("%s; %d B packets at half of the throughput; medians (least..largest round)" % (
        cpu, SIZE))
    for r in rows:
        if r["figure"] == "throughput":
            print("%-16s throughput %s packets/s" % (r["implementation"], number(r["median"])))
    print("%-16s %-30s %-9s %-16s %s" % ("", "at", "", "latency, us", "added, us"))
    for r in rows:
        if r["figure"] != "latency":
            continue
        p = r["params"]
        added = [x for x in rows if x["figure"] == "added" and x["params"] == p and
                 x["implementation"] == r["implementation"]]
        print("%-16s %-30s %-9s %s (%s..%s)  %s%s" % (
            r["implementation"], "%d/s, half of %s" % (p["rate"], p["of"]),
            "p%g" % p["percentile"] if p["percentile"] < 100 else "largest", number(r["median"]),
            number(r["min"]), number(r["max"]), number(added[0]["median"]) if added else "",
            "  x %.2f" % r["ratio"] if "ratio" in r else ""))


def main():
    ap = argparse.ArgumentParser(prog="perf latency", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=2.0, help="seconds of each load")
    ap.add_argument("--trial", type=float, default=0.5, help="seconds of each trial")
    ap.add_argument("--highest", type=float, default=HIGHEST_PPS, help="first rate tried")
    ap.add_argument("--impl", action="append", choices=IMPLS, help="only these")
    a = ap.parse_args()
    a.impl = a.impl or list(IMPLS)
    netns.catch_signals()
    unniced()
    try:
        netns.helper("traffic")
        got, rates = rounds(a)
    except Skip as e:
        print("perf latency: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine()
    rows = rows_of(got, rates, a, cpu)
    table(rows, cpu)
    if a.json:
        write(a.json, rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
