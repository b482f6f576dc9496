#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf derp: causeway-derp beside stock derper, the server alone on one core, all clients on the
other (perf/derp_load.c), over the loopback of a namespace. Ten pairs of clients, TLS 1.3 with
AES-128-GCM; in every round each server is started afresh, and ratios are those of the round.

How frames arrive decides as much as the server:

    bulk      closed loop, a pair has 24 frames on the way, which its sender writes at once
    single    open loop, a fixed rate; each frame is a write, a segment and a record
    overload  open loop, four times what the server carried in "bulk", 24 frames a write; what
              a sender's socket refuses is lost there. Goodput is of what bulk carried
    quiet     clients that say nothing: resident memory that each adds

A server's CPU is /proc/PID/task/*/schedstat; `us` is of it a delivered frame. Age is from the
sender's write to the receiver's read, the generator's own time included. The generator looks
for work without sleeping; `generator` is the share of its core that found some: near 1 it was
the limit, not the server. --append adds rounds to those in the JSON file."""

import argparse
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from netns import Lab, LabError, Skip, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402
from scale import program  # noqa: E402
from wireguard import add_earlier, table, unniced  # noqa: E402

OURS, REFERENCE = "causeway-derp", "derper"
IMPLS = (OURS, REFERENCE)
BENCHES = ("bulk", "bulk-plain", "single", "overload", "quiet")
PORT = 3443
PAIRS, SIZES = 10, (64, 1400)
SINGLE_RATE, OVERLOAD_TIMES, OVERLOAD_SIZE = 100000, 4, 1400
CROWDS = (1000, 5000)
SERVER_CPU, LOAD_CPU = "0", "1"
# bench, figure, params that must be there, what of the row, least, most.
BARS = (("bulk", "frames a CPU-s", {"size": 64}, "ratio", 2, None),
        ("bulk", "frames a CPU-s", {"size": 1400}, "ratio", 2.3, None),
        ("single", "server CPU", {"size": 64}, "ratio", None, 0.85),
        ("single", "server CPU", {"size": 1400}, "ratio", None, 0.85),
        ("single", "age p99", {"size": 64}, "ratio", None, 0.5),
        ("single", "age p99", {"size": 1400}, "ratio", None, 0.5),
        ("overload", "goodput", {}, "median", 90, None),
        ("overload", "oldest", {}, "max", None, 50),
        ("quiet", "resident a client", {"clients": 5000}, "median", None, 24))


class Server:
    """A relay in a namespace of its own; --tls: self-signed for 127.0.0.1."""

    def __init__(self, impl, tls):
        self.lab = Lab(name="perf derp", first=True)
        try:
            self.ns, self.tls = self.lab.ns("r"), tls
            argv, env = (self.ours if impl == OURS else self.derper)()
            self.proc = self.ns.start(impl, ["taskset", "-c", SERVER_CPU] + argv, env=env)
            wait_for(lambda: ":%d" % PORT in self.ns.sh("ss", "-ltn").stdout or
                     not self.proc.running(), 10, impl)
            if not self.proc.running():
                raise LabError("%s ended:\n%s" % (impl, self.proc.tail()))
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def ours(self):
        return [Causeway.program("causeway-derp"), "--listen", "127.0.0.1:%d" % PORT, "--state",
                self.lab.path("state"), "--workers", "1"] + \
            (["--self-signed", "--hostname", "127.0.0.1"] if self.tls else []), {}

    def derper(self):
        return [foreign("derper"), "-a", "127.0.0.1:%d" % PORT, "-http-port", "-1", "-stun=false",
                "-c", self.lab.path("derper.key")] + \
            (["-certmode", "manual", "-certdir", self.lab.path("cert"), "-hostname", "127.0.0.1"]
             if self.tls else []), {"GOMAXPROCS": "1"}

    def client(self, *options):
        return ["taskset", "-c", LOAD_CPU, program("perf", "derp_load"), "--connect",
                "127.0.0.1:%d" % PORT] + (["--tls"] if self.tls else []) + \
            [str(o) for o in options]

    def load(self, a, *options):
        p = self.ns.start("load", self.client("--server", self.proc.pid, "--pairs", PAIRS,
                                              "--seconds", a.time, *options),
                          stdout=self.lab.path("load.json"))
        if p.wait(30 + a.time):
            raise LabError(p.tail())
        return json.loads(p.output())

    def resident_kib(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def crowd_kib(self, count):
        """What each of so many quiet clients adds; all of them are served."""
        before = self.resident_kib()
        p = self.ns.start("crowd", self.client("--quiet", count), stdin=subprocess.PIPE,
                          stdout=self.lab.path("crowd.out"))
        wait_for(lambda: "ready" in p.output() or not p.running(), 60, "%d clients" % count)
        if not p.running():
            raise LabError(p.tail())
        kib = (self.resident_kib() - before) / count
        p.p.stdin.close()
        if p.wait(20):
            raise LabError(p.tail())
        return kib


def put(out, bench, figure, unit, better, value, **params):
    out.append((bench, figure, unit, better, tuple(sorted(params.items())), value))


def put_load(out, bench, got, **params):
    p = dict(params, pairs=PAIRS)
    put(out, bench, "frames a CPU-s", "frames/CPU-s", "higher", 1e6 / got["server_us"], **p)
    put(out, bench, "server CPU", "us/frame", "lower", got["server_us"], **p)
    put(out, bench, "delivered", "frames/s", "", got["delivered_s"], **p)
    put(out, bench, "server", "cores", "", got["server_core"], **p)
    put(out, bench, "generator", "cores", "", got["load_core"], **p)
    put(out, bench, "age p50", "us", "", got["p50_us"], **p)
    put(out, bench, "age p99", "us", "lower", got["p99_us"], **p)
    put(out, bench, "oldest", "ms", "", got["max_us"] / 1000, **p)


def bench_bulk(out, impl, a, tls):
    """Frames/s of the last size, over TLS what the overload is measured by."""
    with Server(impl, tls) as s:
        for size in SIZES:
            got = s.load(a, "--size", size, "--shape", "bulk")
            put_load(out, "bulk" if tls else "bulk-plain", got, size=size)
            if not tls or "overload" not in a.only or size != OVERLOAD_SIZE:
                continue
            best = got["delivered_s"]
            got = s.load(a, "--size", size, "--shape", "bulk", "--rate", OVERLOAD_TIMES * best)
            p = {"size": size, "times": OVERLOAD_TIMES}
            put_load(out, "overload", got, **p)
            put(out, "overload", "offered", "times", "", got["offered_s"] / best, pairs=PAIRS, **p)
            put(out, "overload", "goodput", "%", "higher", 100 * got["delivered_s"] / best,
                pairs=PAIRS, **p)


def bench_single(out, impl, a):
    with Server(impl, True) as s:
        for size in SIZES:
            got = s.load(a, "--size", size, "--shape", "single", "--rate", SINGLE_RATE)
            put_load(out, "single", got, size=size, rate=SINGLE_RATE)
            put(out, "single", "lost", "%", "", 100 * (1 - got["received"] / got["sent"]),
                size=size, rate=SINGLE_RATE, pairs=PAIRS)


def one(impl, a):
    """A round of one server: a list of values."""
    out = []
    if "bulk" in a.only or "overload" in a.only:
        bench_bulk(out, impl, a, True)
    if "bulk-plain" in a.only:
        bench_bulk(out, impl, a, False)
    if "single" in a.only:
        bench_single(out, impl, a)
    if "quiet" in a.only:
        for count in CROWDS:
            with Server(impl, True) as s:
                put(out, "quiet", "resident a client", "KiB", "lower", s.crowd_kib(count),
                    clients=count)
    return out


def rounds(a):
    got = {i: {} for i in a.impl}
    for r in range(a.runs):
        for impl in a.impl:
            try:
                values = one(impl, a)
            except LabError as e:
                print("perf derp: round %d of %s: %s" % (r + 1, impl, e), file=sys.stderr)
                continue
            for v in values:
                got[impl].setdefault(v[:5], [None] * a.runs)[r] = v[5]
        print("perf derp: round %d of %d done" % (r + 1, a.runs), file=sys.stderr)
    return got


def rows_of(got, cpu):
    rows = []
    for impl, keys in got.items():
        for key, values in keys.items():
            bench, figure, unit, better, params = key
            r = row(bench, figure, unit, values, better, impl, dict(params), cpu)
            if r and better and impl != REFERENCE:
                compare(r, got.get(REFERENCE, {}).get(key), REFERENCE)
            rows += [r] if r else []
    return rows


def bars(rows):
    """A line for each bar: does it hold?"""
    out = []
    for bench, figure, params, what, least, most in BARS:
        for r in rows:
            if (r["bench"], r["figure"], r["implementation"]) != (bench, figure, OURS) or \
                    any(r["params"].get(k) != v for k, v in params.items()) or what not in r:
                continue
            v = r[what]
            holds = (least is None or v >= least) and (most is None or v <= most)
            out.append("%s: %s, %s %s: %.3g, bar %s %g" % (
                "holds" if holds else "MISSED", bench, figure,
                " ".join("%s=%s" % kv for kv in sorted(params.items())), v,
                "at least" if most is None else "at most", least if most is None else most))
    return out


def main():
    ap = argparse.ArgumentParser(prog="perf derp", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--time", type=float, default=1.0, help="seconds of each load")
    ap.add_argument("--impl", action="append", choices=IMPLS, help="only these")
    ap.add_argument("--only", action="append", choices=BENCHES,
                    help="only these; overload brings bulk with it")
    ap.add_argument("--append", action="store_true", help="add to the rounds in the JSON file")
    a = ap.parse_args()
    a.impl, a.only = a.impl or list(IMPLS), a.only or list(BENCHES)
    netns.catch_signals()
    unniced()
    try:
        if os.cpu_count() < 2:
            raise Skip("a second core")
        program("perf", "derp_load")
        if REFERENCE in a.impl:
            foreign("derper")
        got = rounds(a)
    except Skip as e:
        print("perf derp: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine()
    if a.append and a.json:
        add_earlier(got, a.json, a)
    rows = rows_of(got, cpu)
    table(rows, cpu, {})
    for line in bars(rows):
        print(line)
    if a.json:
        write(a.json, rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
