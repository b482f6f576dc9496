#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf pktgen: Pktgen-DPDK against two gateways back to back on one core, over vhost-user.

    core 0: Pktgen, port 0 --vhost--> core 1: seal, net_ring, open --vhost--> port 1

One causeway worker seals and opens every packet (perf/gateways.c); Pktgen sees loss and latency
of the whole. Its scripts are perf/pktgen/*.lua: RFC 2544 throughput for each size, a mix of
sizes, 65,536 flows, and latency at half the throughput. Sizes are those of inner packets.

Pktgen's sending thread is also the one that receives, and its core is not its alone: when that
is away for longer than 4,096 packets take, they are lost. So `throughput` is what the two cores
do together; `carried when flooded` is what the gateways' core does.

It needs a `pktgen` in PATH (or --pktgen), and free hugepages. With NICs, run the scripts
against two gateways by hand; what they read from the environment stands in common.lua."""

import argparse
import json
import math
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from netns import Lab, LabError, Skip, tool, wait_for  # noqa: E402
from rows import machine, row, write  # noqa: E402

SCRIPTS = os.path.join(HERE, "pktgen")
SIZES = (64, 128, 256, 512, 1024, 1420)
PERCENTILES = (50, 90, 99)
PKTGEN_MB = 1024
HUGE_FREE_MB = PKTGEN_MB + 300
LINK_MBIT = 100000
# Of each direction. The core that sends is the one that receives, and may be away for a moment.
QUEUE = 4096
PKTGEN_CORES, DEVICE_CORE = (0, 0), 1
WHAT_TO_INSTALL = (
    "pktgen in PATH: Pktgen-DPDK is not packaged; build 23.03.0 of "
    "https://github.com/pktgen/Pktgen-DPDK with -Denable_lua=true against libdpdk-dev and "
    "liblua5.3-dev, or name one with --pktgen")


def free_huge_mb():
    got = {}
    with open("/proc/meminfo") as f:
        for line in f:
            name, value = line.split(":")
            got[name] = int(value.split()[0])
    return got["HugePages_Free"] * got["Hugepagesize"] // 1024


class Bench:
    """The gateways, and Pktgen for one script."""

    def __init__(self, lab, pktgen, engine=None):
        self.lab, self.pktgen = lab, pktgen
        self.sockets = [lab.path(n) for n in ("left.sock", "right.sock")]
        self.ns = lab.ns("gateways")
        self.out = lab.path("gateways.json")
        program = os.path.join(netns.build_dir(), "perf", "gateways")
        if not os.access(program, os.X_OK):
            raise Skip("%s (build it: ninja -C %s perf/gateways)" % (program,
                                                                     netns.build_dir()))
        argv = [program, "--left", self.sockets[0], "--right", self.sockets[1], "--core",
                DEVICE_CORE, "--main-core", PKTGEN_CORES[0], "--prefix", lab.prefix]
        self.device = self.ns.start("gateways", argv + (["--engine", engine] if engine else []),
                                    stdout=self.out)
        wait_for(lambda: self.said() or not self.device.running(), 20, "the gateways")
        if not self.device.running():
            raise LabError("gateways ended\n" + self.device.tail())
        self.ready = self.said()[0]

    def said(self):
        with open(self.out) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def run(self, script, seconds, limit, **env):
        """The figures that a script of perf/pktgen writes."""
        out = self.lab.path("figures-%s-%d.json" % (script, time.monotonic_ns()))
        vdev = ["--vdev=net_virtio_user%d,path=%s,queue_size=%d,speed=%d" % (
            i, path, QUEUE, LINK_MBIT) for i, path in enumerate(self.sockets)]
        argv = [self.pktgen, "--lcores", "0@%d,1@%d" % PKTGEN_CORES, "--no-pci", "--in-memory",
                "--single-file-segments", "--no-telemetry", "--iova-mode=va", "-m",
                "%d" % PKTGEN_MB, "--file-prefix", self.lab.prefix + "-pktgen"] + vdev + [
                "--", "-P", "-m", "1.[0-1]", "-f", os.path.join(SCRIPTS, script + ".lua")]
        env = dict({"CAUSEWAY_PKTGEN": SCRIPTS, "CAUSEWAY_OUT": out, "CAUSEWAY_DST_MAC":
                    self.ready["left_mac"].lower(), "CAUSEWAY_SECONDS": str(seconds),
                    "TERM": "xterm"}, **env)
        # It wants a terminal. Its own folder holds the themes it would look for.
        quoted = " ".join("'%s'" % w for w in argv)
        p = self.ns.start("pktgen-%s-%d" % (script, time.monotonic_ns()),
                          [tool("script"), "-qec", quoted, "/dev/null"], env=env)
        try:
            p.wait(limit)
        finally:
            p.stop(2)
        if not os.path.exists(out):
            raise LabError("pktgen %s: no figures\n%s" % (script, p.tail(30)))
        with open(out) as f:
            return [json.loads(line) for line in f]

    def latency(self, size, rate, seconds):
        """Samples of one run, sorted, in microseconds."""
        path = self.lab.path("samples.txt")
        got = self.run("latency", seconds, seconds + 40, CAUSEWAY_SIZES=str(size),
                       CAUSEWAY_RATE="%.0f" % rate, CAUSEWAY_SAMPLES=path)[0]
        with open(path) as f:
            samples = sorted(int(x) / 1000 for x in f.read().split()[1:])
        if not samples:
            raise LabError("pktgen latency: no samples: %s" % got)
        return samples


def percentile(samples, p):
    """The least sample that p percent of all do not exceed."""
    return samples[max(0, math.ceil(len(samples) * p / 100) - 1)]


def one(a, pktgen, put):
    """One round: put(figure, unit, better, params, value)."""
    with Lab(name="perf pktgen") as lab:
        b = Bench(lab, pktgen, a.engine)
        sizes = " ".join(str(s) for s in a.size)
        half, flooded = {}, set()
        for script in a.only:
            if script == "latency":
                continue
            for f in b.run(script, a.time, 60 + 40 * len(a.size) * (a.time + 1.5),
                           CAUSEWAY_SIZES=sizes):
                if f["figure"] == "trial":
                    # The first offers more than anything takes.
                    if script == "rfc2544" and f["size"] not in flooded:
                        flooded.add(f["size"])
                        put("carried when flooded", "packets/s", "higher", {"size": f["size"]},
                            f["received"] / a.time)
                    continue
                size, pps = f["size"], f["pps"]
                bytes_ = f.get("bytes", size)
                params = {"size": size, "flows": 65536 if script == "flows" else
                          12 if script == "imix" else 1}
                put("throughput", "packets/s", "higher", params, pps or None)
                put("rate", "Gbit/s", "higher", params, pps * bytes_ * 8 / 1e9 or None)
                if script == "rfc2544":
                    half[size] = pps / 2
        if "latency" in a.only:
            for size in a.size:
                rate = a.rate or half.get(size)
                if not rate:
                    continue
                samples = b.latency(size, rate, a.time)
                params = {"size": size, "load": "50 % of throughput" if not a.rate else a.rate}
                for p in PERCENTILES:
                    put("latency", "us", "lower", dict(params, percentile=p),
                        percentile(samples, p))
                put("latency, largest", "us", "lower", params, samples[-1])
        if not b.device.running():
            raise LabError("gateways ended\n" + b.device.tail())
        b.device.stop(5)
        return b.ready, b.said()[-1]


def table(rows):
    print("%-18s %-46s %-10s %28s" % ("figure", "with", "unit", "median (least..largest)"))
    for r in rows:
        scale, unit = (1e6, "Mpps") if r["unit"] == "packets/s" else (1, r["unit"])
        print("%-18s %-46s %-10s %10.2f (%.2f..%.2f)" % (
            r["figure"], " ".join("%s=%s" % kv for kv in sorted(r["params"].items())), unit,
            r["median"] / scale, r["min"] / scale, r["max"] / scale))


def main():
    ap = argparse.ArgumentParser(prog="perf pktgen", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ("rfc2544", "imix", "flows", "latency")
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=1.0, help="seconds of each trial")
    ap.add_argument("--size", action="append", type=int, help="bytes of the inner packet")
    ap.add_argument("--only", action="append", choices=kinds, help="only these scripts")
    ap.add_argument("--rate", type=float, help="packets/s for latency instead of half")
    ap.add_argument("--engine", help="AEAD engine")
    ap.add_argument("--pktgen", default=shutil.which("pktgen"), help="path of the program")
    a = ap.parse_args()
    a.size, a.only = a.size or list(SIZES), a.only or list(kinds)
    netns.catch_signals()
    values = {}
    try:
        if not a.pktgen:
            raise Skip(WHAT_TO_INSTALL)
        if os.cpu_count() < 2:
            raise Skip("a second core")
        if free_huge_mb() < HUGE_FREE_MB:
            raise Skip("%d MB of free hugepages (sysctl vm.nr_hugepages=%d), there are %d" % (
                HUGE_FREE_MB, HUGE_FREE_MB // 2 + 64, free_huge_mb()))
        for i in range(a.runs):
            def put(figure, unit, better, params, value):
                key = (figure, unit, better, tuple(sorted(params.items(), key=str)))
                values.setdefault(key, [None] * a.runs)[i] = value

            ready, end = one(a, a.pktgen, put)
            print("perf pktgen: round %d of %d: %s" % (i + 1, a.runs, json.dumps(end)),
                  file=sys.stderr)
    except Skip as e:
        print("perf pktgen: missing: %s" % e, file=sys.stderr)
        return 77
    rows = [row("pktgen", k[0], k[1], v, k[2], params=dict(k[3])) for k, v in values.items()]
    rows = [r for r in rows if r]
    print("%s; engine %s; medians (least..largest round)" % (machine(), ready["engine"]))
    table(rows)
    if a.json:
        write(a.json, rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
