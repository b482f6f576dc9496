#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf memif: causeway-dp whole, on dpdk ports, with a load on another core.

    load core:   source --memif--> wan    lan --memif--> sink, or net_null      (open)
    device core:              causeway-dp, one worker
                                   lan and wan change places                    (seal)

With zero copy causeway-dp is the memif client, whose packets' memory the rings point into; else
the driver copies each packet in and out of shared memory. `floor` is the same with a forwarder in
the device's place that only swaps MAC addresses (perf/memif_forward.c).

Short queue: rings of 128 and no more than 32 packets under way; before net_null, where none
come back, a ring of 64. Full queue: rings of 2,048 and as many as they take; `full` is the share of
its calls that found no room. Ticks are the worker's busy ones a packet it received, and the
ratio is to ipsec-mb's bare seal in batches of 32, in the same round."""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from netns import Lab, LabError, Skip, wait_for  # noqa: E402
from nodes import Causeway  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402

DEVICE_CPU, LOAD_CPU = 0, 1
SIZES = (64, 512, 1420)
BARE = "ipsecmb"
LAN, WAN = ("10.1.0.1", "10.1.0.2"), ("203.0.113.1", "203.0.113.2")
REMOTE_HOST = "10.2.0.2"
PEER_MAC = "02:00:00:00:00:01"
DEVICE_MAC = "02:00:00:00:01:0%d"
MIN_BACK = 0.98  # of what was sent: a load that was held up finds its ring full
# Of figures that are no ticks a packet of the worker or one of its stages.
UNITS = {"rate": ("packets/s", "higher"), "full": ("", ""), "batch": ("packets", "")}
# By (sink, queue): log2 of the ring, packets under way (0: any number).
QUEUES = {("memif", "short"): (7, 32), ("memif", "full"): (11, 0),
          ("null", "short"): (6, 0), ("null", "full"): (11, 0)}
# The device's sides on memif, and the ways it serves with them.
DEVICES = (("memif", ("wan", "lan"), ("open", "seal")), ("null", ("wan",), ("open",)),
           ("null", ("lan",), ("seal",)))
KINDS = ("copy", "zero")


def vdev(i, path, kind, rsize, extra=""):
    """A memif of the device's, or its net_null."""
    if not path:
        return "net_null%d;no-rx=1" % i
    role = "role=server" if kind == "copy" else "role=client;zero-copy=yes;rsize=%d" % rsize
    return "net_memif%d;%s;socket-abstract=no;socket=%s;mac=%s" % (i, role, path,
                                                                   DEVICE_MAC % i)


def program(name="memif_load"):
    path = os.path.join(netns.build_dir(), "perf", name)
    if not os.access(path, os.X_OK):
        raise Skip("%s (build it: ninja -C %s perf/%s)" % (path, netns.build_dir(), name))
    return path


def bare(size):
    return float(subprocess.run(["taskset", "-c", str(DEVICE_CPU), program(), "--bare",
                                 str(size)], stdout=subprocess.PIPE, check=True,
                                text=True).stdout)


class Load:
    """The process on the load core; a line asks for a load, a line answers."""

    def __init__(self, argv):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, size, span):
        try:
            self.p.stdin.write("%d %s\n" % (size, span))
            self.p.stdin.flush()
        except BrokenPipeError:
            pass  # told by what it does not answer
        line = self.p.stdout.readline()
        if not line:
            raise LabError("memif_load ended with %s" % self.p.wait(5))
        return json.loads(line)

    def end(self):
        try:
            self.p.stdin.close()
            self.p.wait(5)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.p.kill()
            self.p.wait()


class Device:
    """A namespace with causeway-dp; `sides` are on memif, the others on net_null. As the
    memif client it has its rings from the start, and comes when the load listens."""

    def __init__(self, lab, sides, kind="copy", rsize=0):
        self.gw = lab.ns("gw")
        self.kind, self.rsize = kind, rsize
        self.socket = lab.path("dp.sock")
        self.side = {s: lab.path(s + ".sock") if s in sides else None for s in ("wan", "lan")}

    def start(self):
        spec = ",".join("%s=%s;tap=%s" % (s, vdev(i, path, self.kind, self.rsize), s)
                        for i, (s, path) in enumerate(self.side.items()))
        self.dp = self.gw.start("causeway-dp", [
            Causeway.program("causeway-dp"), "--socket", self.socket, "--port",
            "dpdk:%s,listen=41641,tun=cw0,poll=always" % spec, "--workers", 1, "--cpus",
            "%d,%d" % (LOAD_CPU, DEVICE_CPU)])
        wait_for(lambda: os.path.exists(self.socket) or not self.dp.running(), 15, "causeway-dp")
        if not self.dp.running():
            raise LabError("causeway-dp ended\n" + self.dp.tail())
        for s in self.side:
            self.gw.sysctl("net.ipv6.conf.%s.disable_ipv6" % s, 1)
        for s, addr in (("wan", WAN), ("lan", LAN)):
            self.gw.ip("addr add %s/24 dev %s" % (addr[0], s), "link set %s up" % s,
                       "neigh replace %s lladdr %s dev %s nud permanent" % (addr[1], PEER_MAC, s))
        self.gw.ip("link set cw0 up", "route replace 10.2.0.0/24 dev cw0")

    def mac(self, side):
        return DEVICE_MAC % list(self.side).index(side)

    def worker(self):
        """The worker's counters, and by stage (ticks, packets, batches)."""
        got = {what: json.loads(self.gw.sh(Causeway.program("causeway"), "--dp-socket",
                                           self.socket, "dp", "show", what, "--json").stdout)
               for what in ("workers", "latency")}
        w = got["workers"]["workers"][0]
        w["stages"] = {s["stage"]: (s["cycles_a_packet"] * s["packets"], s["packets"],
                                    s["batches"])
                       for s in got["latency"]["latency"] if "cycles_a_packet" in s}
        return w

    def load_argv(self, way, sink, queue):
        src, dst = ("lan", "wan") if way == "seal" else ("wan", "lan")
        inner = (LAN[1], REMOTE_HOST) if way == "seal" else (REMOTE_HOST, LAN[1])
        outer = WAN if way == "seal" else WAN[::-1]
        rsize, window = QUEUES[sink, queue]
        return [program(), "--from", self.side[src], "--device-mac", self.mac(src),
                "--inner-src", inner[0], "--inner-dst", inner[1], "--outer-src", outer[0],
                "--outer-dst", outer[1], "--rsize", str(rsize), "--window", str(window), "--cpu",
                str(LOAD_CPU), "--dp-socket", self.socket] + \
            (["--to", self.side[dst]] if self.side[dst] else []) + \
            (["--open"] if way == "open" else []) + (["--server"] if self.kind == "zero" else [])

    def loads(self, way, sink, queue, sizes, seconds):
        """{size: figures}, from one source process."""
        load, out = Load(self.load_argv(way, sink, queue)), {}
        try:
            if self.kind == "zero":
                listening(self.side.values())
                self.start()
            for size in sizes:
                # The first one warms up: tables, rings, neighbours.
                for span in (0.05, seconds):
                    before = self.worker()
                    got, after = load.run(size, span), self.worker()
                out[size] = self.figures(way, sink, got, before, after)
        except LabError as e:
            raise LabError("%s\n%s" % (e, self.dp.tail()))
        finally:
            load.end()
        return out

    def figures(self, way, sink, got, before, after):
        ends = ("rx_inside", "tx_outside") if way == "seal" else ("rx_outside", "tx_inside")
        rx, tx = (after[e] - before[e] for e in ends)
        if got["wrong"] or tx < MIN_BACK * got["sent"] or \
                (sink == "memif" and got["received"] < MIN_BACK * got["sent"]):
            raise LabError("%s to %s: %s, device received %d, sent %d" % (way, sink, got, rx, tx))
        stages = {s: [x - y for x, y in zip(after["stages"][s], before["stages"][s])]
                  for s in after["stages"]}
        first = stages["rx-inside" if way == "seal" else "rx-outside"]
        return {"batch": first[1] / max(1, first[2]),
                **{s: x[0] / rx for s, x in stages.items() if x[1] > rx / 2},
                "ticks": (after["busy_cycles"] - before["busy_cycles"]) / rx,
                "rate": tx / got["seconds"],
                "full": got["full"] / max(1, got["full"] + got["bursts"])}


def listening(paths):
    wait_for(lambda: all(os.path.exists(p) for p in paths if p), 10, "the load's sockets")


def device_loads(a, sizes):
    """((kind, way, sink, queue), {size: figures}) of each setting, once."""
    for kind in a.kinds:
        for sink, sides, ways in DEVICES:
            settings = [(w, q) for w in ways for q in ("short", "full")]
            if kind == "copy":
                with Lab(name="perf memif") as lab:
                    d = Device(lab, sides)
                    d.start()
                    for way, queue in settings:
                        yield (kind, way, sink, queue), d.loads(way, sink, queue, sizes, a.time)
                continue
            for way, queue in settings:
                with Lab(name="perf memif") as lab:
                    d = Device(lab, sides, kind, QUEUES[sink, queue][0])
                    yield (kind, way, sink, queue), d.loads(way, sink, queue, sizes, a.time)


def floor(lab, kind, sink, queue, sizes, seconds):
    """{size: ticks a packet} of the forwarder in the device's place."""
    rsize, window = QUEUES[sink, queue]
    sides = [lab.path("in.sock"), lab.path("out.sock") if sink == "memif" else None]
    load_argv = [program(), "--plain", "--from", sides[0], "--device-mac", DEVICE_MAC % 0,
                 "--inner-src", LAN[1], "--inner-dst", REMOTE_HOST, "--outer-src", WAN[0],
                 "--outer-dst", WAN[1], "--rsize", str(rsize), "--window", str(window), "--cpu",
                 str(LOAD_CPU)] + (["--to", sides[1]] if sides[1] else []) + \
        (["--server"] if kind == "zero" else [])
    forward_argv = [program("memif_forward"), str(DEVICE_CPU)] + [
        vdev(i, p, kind, rsize).replace(";", ",") for i, p in enumerate(sides)]
    load = Load(load_argv) if kind == "zero" else None
    if load:
        listening(sides)
    dev = subprocess.Popen(forward_argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if dev.stdout.readline() != "ready\n":
            raise LabError("memif_forward ended with %s" % dev.wait(5))
        load = load or Load(load_argv)
        out = {}
        for size in sizes:
            for span in (0.05, seconds):
                dev.stdin.write("\n")
                dev.stdin.flush()
                dev.stdout.readline()
                load.run(size, span)
                dev.stdin.write("\n")
                dev.stdin.flush()
                got = json.loads(dev.stdout.readline())
            out[size] = got["ticks"] / got["packets"]
        return out
    finally:
        if load:
            load.end()
        dev.stdin.close()
        try:
            dev.wait(5)
        except subprocess.TimeoutExpired:
            dev.kill()
            dev.wait()


def measure(a, sizes):
    """{(kind, way, sink, queue, size): [figures of each round]}, {size: [bare ticks]}"""
    values, bares = {}, {s: [] for s in sizes}
    for _ in range(a.runs):
        for s in sizes:
            bares[s].append(bare(s))
        for key, got in device_loads(a, sizes):
            for s, figures in got.items():
                values.setdefault(key + (s,), []).append(figures)
        for kind in a.kinds:
            for sink, queue in QUEUES:
                with Lab(name="perf memif floor") as lab:
                    for s, ticks in floor(lab, kind, sink, queue, sizes, a.time).items():
                        values.setdefault((kind, "floor", sink, queue, s), []).append(
                            {"ticks": ticks})
    return values, bares


def rows_of(values, bares, a):
    out = [row("memif", "bare seal", "ticks/packet", b, "lower", BARE, {"size": s})
           for s, b in bares.items()]
    for (kind, way, sink, queue, size), runs in sorted(values.items()):
        params = {"memif": kind, "way": way, "sink": sink, "queue": queue, "size": size, "seconds": a.time}
        for figure in dict.fromkeys(f for x in runs for f in x):
            unit, better = UNITS.get(figure, ("ticks/packet", "lower"))
            r = row("memif", figure, unit, [x.get(figure) for x in runs], better, params=params)
            if figure == "ticks":
                compare(r, bares[size], BARE + " seal")
            out.append(r)
    return out


def table(rows):
    by = {}
    for r in rows:
        by.setdefault(json.dumps(r["params"]), {})[r["figure"]] = r
    print("%-5s %-5s %-6s %-6s %5s %22s %20s %6s %6s %6s  %s" % (
        "memif", "way", "sink", "queue", "bytes", "ticks a packet", "ratio", "Mpps", "full", "batch",
        "stages"))
    for figures in by.values():
        if "bare seal" in figures:
            r = figures["bare seal"]
            print("%s, bare seal: %d bytes %.0f ticks" % (BARE, r["params"]["size"], r["median"]))
            continue
        r = figures["ticks"]
        p = r["params"]
        if p["way"] == "floor":
            print("%-5s %-5s %-6s %-6s %5d %6.0f (%5.0f..%5.0f) %6.2f (%.2f..%.2f)" % (
                p["memif"], p["way"], p["sink"], p["queue"], p["size"], r["median"], r["min"],
                r["max"], r["ratio"], r["ratio_min"], r["ratio_max"]))
            continue
        print("%-5s %-5s %-6s %-6s %5d %6.0f (%5.0f..%5.0f) %6.2f (%.2f..%.2f) %6.2f %6.2f %6.0f  %s" % (
            p["memif"], p["way"], p["sink"], p["queue"], p["size"], r["median"], r["min"], r["max"],
            r["ratio"], r["ratio_min"], r["ratio_max"], figures["rate"]["median"] / 1e6,
            figures["full"]["median"], figures["batch"]["median"],
            " ".join("%s %.0f" % (f, x["median"]) for f, x in figures.items()
                     if f not in UNITS and f != "ticks")))


def main():
    ap = argparse.ArgumentParser(prog="perf memif", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=0.3, help="seconds of each load")
    ap.add_argument("--memif", dest="kinds", action="append", choices=KINDS)
    ap.add_argument("--size", action="append", type=int, help="bytes of the inner packet")
    a = ap.parse_args()
    a.kinds = a.kinds or KINDS
    netns.catch_signals()
    if os.cpu_count() < 2:
        print("perf memif: missing: a second core for the load", file=sys.stderr)
        return 77
    try:
        rows = rows_of(*measure(a, a.size or SIZES), a)
    except Skip as e:
        print("perf memif: missing: %s" % e, file=sys.stderr)
        return 77
    print("%s; medians (min..max)" % machine())
    table(rows)
    if a.json:
        write(a.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
