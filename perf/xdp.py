#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf xdp: the xdp port on veth beside a bare AF_XDP forwarder, one core each.

    load core:   source --veth--> lan     wan --veth--> sink        (seal)
    device core:                  causeway-dp, one worker, or xdp_forward
                                  wan and lan change places         (open)

The forwarder receives, swaps addresses and transmits the same frames that the port gets. Both
are offered more than they take, from the same source, in alternating rounds. One packet in
1,024 of those that the port sealed or opened is checked."""

import argparse
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from netns import Lab, LabError, Skip, wait_for  # noqa: E402
from nodes import Causeway  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402

DEVICE_CPU, LOAD_CPU = 0, 1
SIZES = (64, 1400)
BARE, PORT = "bare forwarder", "causeway-xdp"
LAN, WAN = ("10.1.0.1", "10.1.0.2"), ("203.0.113.1", "203.0.113.2")
REMOTE_HOST = "10.2.0.2"


def program(name):
    path = os.path.join(netns.build_dir(), "perf", name)
    if not os.access(path, os.X_OK):
        raise Skip("%s (build it: ninja -C %s perf/%s)" % (path, netns.build_dir(), name))
    return path


class Bench:
    """Two namespaces, the device and everything around it, and both veth pairs."""

    def __init__(self, lab):
        self.lab = lab
        self.dev, self.load = lab.ns("dev"), lab.ns("load")
        for name in ("lan", "wan"):
            lab.veth(self.dev, name, self.load, name)
        for ns, n in ((self.dev, 0), (self.load, 1)):
            ns.ip("addr add %s/24 dev lan" % LAN[n], "addr add %s/24 dev wan" % WAN[n],
                  "link set lan up", "link set wan up")
            ns.offload("lan", "gro", "on", "tx", "off")
            ns.offload("wan", "gro", "on", "tx", "off")
        self.mac = {(ns.short, i): ns.sh("cat", "/sys/class/net/%s/address" % i).stdout.strip()
                    for ns in (self.dev, self.load) for i in ("lan", "wan")}
        # The load's sockets take every frame: nobody there answers a neighbour request.
        self.dev.ip(*["neigh replace %s lladdr %s dev %s nud permanent" %
                      (a[1], self.mac["load", i], i) for a, i in ((LAN, "lan"), (WAN, "wan"))])

    def start_port(self):
        self.socket = self.lab.path("dp.sock")
        p = self.dev.start("causeway-dp", [
            Causeway.program("causeway-dp"), "--socket", self.socket, "--port",
            "xdp:wan=wan,lan=lan,listen=41641,tun=cw0", "--no-huge", "--workers", 1,
            "--cpus", "%d,%d" % (LOAD_CPU, DEVICE_CPU)])
        wait_for(lambda: os.path.exists(self.socket) or not p.running(), 10, "causeway-dp")
        if not p.running():
            raise LabError("causeway-dp ended\n" + p.tail())
        # The overlay route that causewayd would make.
        self.dev.ip("link set cw0 up", "route replace 10.2.0.0/24 dev cw0")
        return p

    def start_bare(self, way):
        src, dst = ("lan", "wan") if way == "seal" else ("wan", "lan")
        p = self.dev.start("xdp_forward", ["taskset", "-c", DEVICE_CPU, program("xdp_forward"),
                                           src, dst, self.mac["load", dst]])
        wait_for(lambda: "ready" in p.log(), 10, "xdp_forward")
        return p

    def run_load(self, way, size, seconds, dp_socket=None):
        src, dst = ("lan", "wan") if way == "seal" else ("wan", "lan")
        # From the host beyond the LAN outwards, or from the mesh to it.
        inner = (LAN[1], REMOTE_HOST) if way == "seal" else (REMOTE_HOST, LAN[1])
        outer = (WAN[0], WAN[1]) if way == "seal" else (WAN[1], WAN[0])
        argv = ["taskset", "-c", LOAD_CPU, program("xdp_load"),
                "--mode", way if dp_socket else "forward", "--from", src, "--to", dst,
                "--device-mac", self.mac["dev", src], "--inner-src", inner[0], "--inner-dst",
                inner[1], "--outer-src", outer[0], "--outer-dst", outer[1], "--bytes", size,
                "--seconds", seconds]
        if dp_socket:
            argv += ["--dp-socket", dp_socket]
        got = json.loads(self.load.sh(*argv, timeout=30 + seconds).stdout.splitlines()[-1])
        if not got["received"] or got["wrong"]:
            raise LabError("xdp_load: %s" % got)
        return got


def one(way, size, who, seconds):
    """Packets received a second, and offered; microseconds of the device's core a packet."""
    with Lab(name="perf xdp") as lab:
        b = Bench(lab)
        if who == BARE:
            p, socket = b.start_bare(way), None
            # What the port gets: for the open way the frame with all headers of the tunnel.
            size = size if way == "seal" else (size + 15) // 16 * 16 + 60
        else:
            p, socket = b.start_port(), b.__dict__.get("socket")
            time.sleep(0.2)
        cpu0 = p.cpu_ns()
        got = b.run_load(way, size, seconds, socket)
        cpu = p.cpu_ns() - cpu0
        if not p.running():
            raise LabError("%s ended\n%s" % (who, p.tail()))
        return {"received": got["received"] / got["seconds"],
                "offered": got["sent"] / got["seconds"],
                "core": cpu / 1e3 / max(1, got["received"])}


def rows_of(values, a):
    out = []
    for (way, size, who), runs in values.items():
        for figure, unit, better in (("received", "packets/s", "higher"),
                                     ("offered", "packets/s", ""),
                                     ("core", "us/packet", "lower")):
            r = row("xdp", figure, unit, [x[figure] for x in runs], better, who,
                    {"way": way, "size": size, "seconds": a.time})
            if who != BARE and better:
                compare(r, [x[figure] for x in values.get((way, size, BARE), [])], BARE)
            out.append(r)
    return out


def table(rows):
    print("%-5s %5s  %-15s %28s %10s %6s" % ("way", "bytes", "", "received, packets/s",
                                            "offered", "ratio"))
    for r in rows:
        if r["figure"] != "received":
            continue
        offered = next(o for o in rows if o["figure"] == "offered" and
                       o["params"] == r["params"] and o["implementation"] ==
                       r["implementation"])
        print("%-5s %5d  %-15s %9.0f (%8.0f..%8.0f) %10.0f %6s" % (
            r["params"]["way"], r["params"]["size"], r["implementation"], r["median"], r["min"],
            r["max"], offered["median"], "%.2f" % r["ratio"] if "ratio" in r else ""))


def main():
    ap = argparse.ArgumentParser(prog="perf xdp", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=0.7, help="seconds of each load")
    ap.add_argument("--way", action="append", choices=("seal", "open"))
    ap.add_argument("--size", action="append", type=int, help="bytes of the inner packet")
    a = ap.parse_args()
    netns.catch_signals()
    if os.cpu_count() < 2:
        print("perf xdp: missing: a second core for the load", file=sys.stderr)
        return 77
    values = {}
    try:
        for _ in range(a.runs):
            for way in a.way or ("seal", "open"):
                for size in a.size or SIZES:
                    for who in (BARE, PORT):
                        got = one(way, size, who, a.time)
                        values.setdefault((way, size, who), []).append(got)
    except Skip as e:
        print("perf xdp: missing: %s" % e, file=sys.stderr)
        return 77
    rows = rows_of(values, a)
    print("%s; medians (min..max)" % machine())
    table(rows)
    if a.json:
        write(a.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
