#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf wireguard: Causeway (kernel and xdp ports) beside wireguard-go, boringtun, tailscaled.

One topology: host - gateway - gateway - host on one machine, offloads as each needs them. In
every round each implementation is set up afresh and measured, so that the ratio to
wireguard-go is one of the same round. Figures:

    tcp          one flow: Gbit/s; CPU-seconds a Gbit of both daemons; of the machine
    tcp-many     16 flows at once, the same
    tcp-pinned   one flow, each end with its load on a core of its own
    udp64-paced  64 B packets at a fixed rate: loss, packets a daemon CPU-second
    udp64-many   the same interleaved over 16 pairs of hosts
    udp64-flood  64 B packets as fast as the source can: received a second
    udp-mixed    1,000 flows interleaved, 64, 576 and 1,280 B as 7:4:1, at a fixed rate

A daemon's CPU is /proc/PID/task/*/schedstat summed (causeway: causeway-dp and causewayd),
softirq and empty polls included. The machine's non-idle time stands beside it.

tailscaled's tunnel has an MTU of 1280: its rival is causeway-kernel-1280, and so is that of
causeway-mesh, which is the same gateway with a coordinator, found paths and a relay beside. TCP runs with the
congestion control that --congestion names, not with what the machine happens to prefer.
A long run can be made of short ones: --append adds their rounds to those in the JSON file."""

import argparse
import hashlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from flows import Udp, tcp  # noqa: E402
from netns import Lab, LabError, Skip  # noqa: E402
from nodes import (Boringtun, Causeway, CausewayMesh, Control, Tailscaled,  # noqa: E402
                   WireguardGo, pair)
from rows import compare, machine as machine_name, number, row, write  # noqa: E402
from topology import Sites  # noqa: E402

REFERENCE = "wireguard-go"
IMPLS = ("causeway-kernel", "wireguard-go", "causeway-kernel-1280", "tailscaled",
         "causeway-mesh", "causeway-xdp", "boringtun")
KINDS = {"causeway-kernel": Causeway, "causeway-kernel-1280": Causeway,
         "causeway-xdp": Causeway, "wireguard-go": WireguardGo, "boringtun": Boringtun,
         "causeway-mesh": CausewayMesh, "tailscaled": Tailscaled}
MESHES = ("causeway-mesh", "tailscaled")
# Whom an implementation is compared with, where it is not REFERENCE.
RIVALS = {"causeway-kernel-1280": "tailscaled", "causeway-mesh": "causeway-kernel-1280"}
BENCHES = ("tcp", "tcp-many", "tcp-pinned", "udp64-paced", "udp64-many", "udp64-flood",
           "udp-mixed")
PINNED = ("causeway-kernel", "wireguard-go")
HOSTS = 16
MIXED_HOSTS, MIXED_FLOWS = 32, 1000
# At this share of loss a paced row still counts as one without.
NO_LOSS = 0.0005


def clock_ms():
    """A fixed amount of work, timed: it moves when the machine is disturbed or throttled."""
    block = bytes(1 << 20)
    t0 = time.monotonic()
    for _ in range(16):
        hashlib.blake2b(block)
    return (time.monotonic() - t0) * 1000


def machine():
    """(not idle, all) CPU seconds of the machine up to now. The kernel measures idle time
    but samples the rest at ticks, which misses work that falls between them: so what is not
    idle is taken as the time that passed less the idle time."""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:9]]
    total = time.monotonic() * os.cpu_count()
    return total - (t[3] + t[4]) / os.sysconf("SC_CLK_TCK"), total


def unniced(pid="self"):
    """Autogroup scheduling shares a core by session: ask for as much as there is."""
    try:
        with open("/proc/%s/autogroup" % pid, "w") as f:
            f.write("-20")
    except OSError:
        pass


class Meter:
    """CPU of the daemons and the machine over a with block."""

    def __init__(self, nodes):
        self.nodes = nodes

    def __enter__(self):
        self.cpu0 = [n.cpu_ns() for n in self.nodes]
        self.mach0 = machine()
        return self

    def __exit__(self, *exc):
        m = machine()
        self.cpu = [(n.cpu_ns() - c) / 1e9 for n, c in zip(self.nodes, self.cpu0)]
        self.busy = m[0] - self.mach0[0]
        self.idle_pct = 100.0 * (1 - self.busy / max(1e-9, m[1] - self.mach0[1]))


def pin(node, cpu):
    for p in node.procs:
        for task in os.listdir("/proc/%d/task" % p.pid):
            os.sched_setaffinity(int(task), {cpu})


def start(node, cpu=None):
    """cpu: where its threads run, from the start, so that it sees one core only."""
    everywhere = os.sched_getaffinity(0)
    try:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        node.start()
    finally:
        os.sched_setaffinity(0, everywhere)
    if cpu is not None:
        pin(node, cpu)


def setup(lab, impl, pinned=False):
    xdp = (1, 2) if impl == "causeway-xdp" else ()
    s = Sites(lab, xdp=xdp, hosts=MIXED_HOSTS)
    kw = {}
    if impl.startswith("causeway") and impl not in MESHES:
        kw["port_kind"] = impl.split("-")[1]
    if impl.endswith("-1280"):
        kw["mtu"] = 1280
    if impl in MESHES:
        kw["control"] = Control(lab, s)
    nodes = [KINDS[impl](lab, s[n], **kw) for n in (1, 2)]
    if impl not in MESHES:
        pair(*nodes)
    for cpu, n in enumerate(nodes):
        start(n, cpu if pinned else None)
    s[1].host.wait_ping(s[2].host4, 30)
    if impl in MESHES:
        # Direct before anything is measured, not through the relay.
        time.sleep(2)
    for p in lab.procs:
        unniced(p.pid)
    return s, nodes


def put(out, bench, figure, unit, value, better, **params):
    out.append((bench, figure, unit, better, tuple(sorted(params.items())), value))


def bench_tcp(out, s, nodes, a, name, streams=1, cpus=None):
    with Meter(nodes) as m:
        doc = tcp(s[1].host, s[2].host, s[2].host4, a.time, streams=streams,
                  congestion=a.congestion, cpus=cpus)
    got = doc["end"]["sum_received"]
    gbit = got["bytes"] * 8 / 1e9
    p = {"streams": streams, "congestion": a.congestion}
    put(out, name, "rate", "Gbit/s", got["bits_per_second"] / 1e9, "higher", **p)
    put(out, name, "daemons", "CPU-s/Gbit", sum(m.cpu) / gbit, "lower", **p)
    put(out, name, "sender's daemon", "CPU-s/Gbit", m.cpu[0] / gbit, "lower", **p)
    put(out, name, "receiver's daemon", "CPU-s/Gbit", m.cpu[1] / gbit, "lower", **p)
    put(out, name, "machine", "CPU-s/Gbit", m.busy / gbit, "lower", **p)
    put(out, name, "idle", "%", m.idle_pct, "", **p)


def bench_udp(out, lab, s, nodes, a, name, rate=0, hosts=1, flows=None):
    with Meter(nodes) as m:
        r = Udp(lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=rate or 1,
                seconds=a.time, both=False, flood=not rate, hosts=hosts, gro=True, wait=0.2,
                linger=0.1, flows=flows, mix=bool(flows)).wait()
    sent, got, rx = r[0]["tx"]["sent"], r[1]["rx"]["unique"], r[1]["rx"]
    if not got:
        raise LabError("%s: no packet arrived" % name)
    seconds = max(1e-9, (rx["last_ns"] - rx["first_ns"]) / 1e9)
    p = {"flows": flows or hosts, "rate_pps": rate or "flood",
         "size": "64, 576, 1280 as 7:4:1" if flows else 64}
    put(out, name, "received", "packets/s", got / seconds, "higher", **p)
    put(out, name, "lost", "%", 100.0 * (1 - got / sent), "", **p)
    put(out, name, "a daemon CPU-s", "packets/CPU-s", got / max(1e-9, sum(m.cpu)), "higher", **p)
    put(out, name, "machine", "us/packet", m.busy / got * 1e6, "lower", **p)
    put(out, name, "idle", "%", m.idle_pct, "", **p)


def one(impl, a):
    """One round of one implementation: a list of values."""
    out = []
    with Lab(name="perf " + impl) as lab:
        s, nodes = setup(lab, impl)
        if "tcp" in a.only:
            bench_tcp(out, s, nodes, a, "tcp")
        if "tcp-many" in a.only:
            bench_tcp(out, s, nodes, a, "tcp-many", streams=16)
        if "udp64-paced" in a.only:
            for rate in a.rate:
                bench_udp(out, lab, s, nodes, a, "udp64-paced", rate=rate)
        if "udp64-many" in a.only:
            bench_udp(out, lab, s, nodes, a, "udp64-many", rate=a.rate[0], hosts=HOSTS)
        if "udp-mixed" in a.only:
            bench_udp(out, lab, s, nodes, a, "udp-mixed", rate=a.rate[0], hosts=MIXED_HOSTS,
                      flows=MIXED_FLOWS)
        if "udp64-flood" in a.only:
            bench_udp(out, lab, s, nodes, a, "udp64-flood")
        if not all(n.alive() for n in nodes):
            raise LabError("a daemon ended\n" + "\n".join(n.logs() for n in nodes))
    if "tcp-pinned" in a.only and impl in PINNED and os.cpu_count() > 1:
        with Lab(name="perf pinned " + impl) as lab:
            s, nodes = setup(lab, impl, pinned=True)
            bench_tcp(out, s, nodes, a, "tcp-pinned", cpus=(0, 1))
    return out


def rounds(a, impls):
    """{impl: {key: [values by round, None where it failed]}}, {impl: reason it is missing}"""
    got, missing = {i: {} for i in impls}, {}
    for r in range(a.runs):
        for impl in impls:
            if impl in missing:
                continue
            t0 = clock_ms()
            try:
                values = one(impl, a)
            except Skip as e:
                missing[impl] = str(e)
                continue
            except (LabError, OSError, ValueError, KeyError) as e:
                print("perf: round %d of %s: %s" % (r + 1, impl, e), file=sys.stderr)
                missing.setdefault("%s, round %d" % (impl, r + 1), str(e).splitlines()[0])
                continue
            for v in values:
                got[impl].setdefault(v[:5], [None] * a.runs)[r] = v[5]
            print("perf: round %d of %d, %s done (clock %.0f, %.0f ms)" %
                  (r + 1, a.runs, impl, t0, clock_ms()), file=sys.stderr)
    return got, missing


def rows_of(got, a, cpu):
    rows = []
    for impl, keys in got.items():
        rival = RIVALS.get(impl, REFERENCE)
        for key, values in keys.items():
            bench, figure, unit, better, params = key
            r = row(bench, figure, unit, values, better, impl, dict(params, seconds=a.time), cpu)
            if not r:
                continue
            if better:
                compare(r, got.get(rival, {}).get(key), rival)
            rows.append(r)
    return rows


def add_earlier(got, path, a):
    """Puts the rounds of an earlier run before those of this one."""
    try:
        with open(path) as f:
            rows = json.load(f)
    except FileNotFoundError:
        return
    before = max([len(r["values"]) for r in rows] or [0])
    for keys in got.values():
        for key in keys:
            keys[key] = [None] * before + keys[key]
    for r in rows:
        params = {k: v for k, v in r["params"].items() if k != "seconds"}
        key = (r["bench"], r["figure"], r["unit"], r["better"], tuple(sorted(params.items())))
        keys = got.setdefault(r["implementation"], {})
        keys[key] = r["values"] + keys.get(key, [None] * (before + a.runs))[before:]


def table(rows, cpu, missing):
    print("%s; medians (min..max), ratio in the same round" % cpu)
    order = []
    for r in rows:
        k = (r["bench"], json.dumps(r["params"], sort_keys=True))
        if k not in order:
            order.append(k)
    for bench, params in order:
        p = json.loads(params)
        print("\n%s  %s" % (bench, " ".join("%s=%s" % kv for kv in sorted(p.items()))))
        for r in rows:
            if (r["bench"], json.dumps(r["params"], sort_keys=True)) != (bench, params):
                continue
            print("  %-18s %-20s %-14s %10s (%s..%s)%s" % (
                r["figure"], r["implementation"], r["unit"], number(r["median"]),
                number(r["min"]), number(r["max"]),
                "  x %.2f of %s" % (r["ratio"], r["ratio_to"]) if "ratio" in r else ""))
        loss = [r for r in rows if r["bench"] == bench and r["figure"] == "lost" and
                json.dumps(r["params"], sort_keys=True) == params]
        for r in loss:
            if p.get("rate_pps") != "flood" and r["max"] > 100 * NO_LOSS:
                print("  note: %s lost packets: its row is not one without loss" %
                      r["implementation"])
    for name, why in missing.items():
        print("missing: %s: %s" % (name, why))


def main():
    ap = argparse.ArgumentParser(prog="perf wireguard", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=2.0, help="seconds of each load")
    ap.add_argument("--impl", action="append", choices=IMPLS, help="only these")
    ap.add_argument("--only", action="append", choices=BENCHES, help="only these figures")
    ap.add_argument("--rate", action="append", type=int,
                    help="packets/s of the paced rows; those of many flows take the first")
    ap.add_argument("--congestion", default="cubic", help="of TCP (default: cubic)")
    ap.add_argument("--append", action="store_true", help="add to the rounds in the JSON file")
    ap.add_argument("--quick", action="store_true",
                    help="one short round of a few rows: does it work?")
    a = ap.parse_args()
    if a.quick:
        a.runs, a.time = 1, 1.0
        a.impl = a.impl or list(PINNED)
        a.only = a.only or ["tcp", "udp64-paced", "udp-mixed"]
        a.rate = a.rate or [30000]
    a.only = a.only or list(BENCHES)
    a.rate = a.rate or [30000, 60000]
    netns.catch_signals()
    unniced()
    try:
        netns.helper("traffic")
        netns.tool("iperf3")
        Lab(name="perf").close()
    except Skip as e:
        print("perf wireguard: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine_name()
    got, missing = rounds(a, [i for i in IMPLS if not a.impl or i in a.impl])
    if a.append and a.json:
        add_earlier(got, a.json, a)
    rows = rows_of(got, a, cpu)
    table(rows, cpu, missing)
    if a.json:
        write(a.json, rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
