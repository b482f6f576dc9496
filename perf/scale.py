#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf scale: what many peers, many routes and a second worker do to the rate, what a peer costs
in memory, what a changed route costs, and how long it takes to program them.

The in-process generator of perf/gen.h: 64-byte packets, batches of 64, to peers (and addresses
of routes) at random, so the tables of 100,000 peers are cold. The ratio of a rate is to one peer
with 100 routes in the same round; that of two workers says how much more both carry."""

import argparse
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402

BENCH = "scale"
MANY = 100000
# peers, IPv4 routes, IPv6 routes, workers, lanes of a peer
FIRST = (1, 100, 0, 1, 0)
MOST = (MANY, 900000, 100000, 1, 0)
SETUPS = (FIRST, (1, 100, 0, 2, 0), (1, 100, 0, 2, 2), (100, 100, 0, 1, 0), (100, 100, 0, 2, 0),
          (10000, 100, 0, 1, 0), (MANY, 100, 0, 1, 0), (1, 900000, 100000, 1, 0), MOST,
          (MANY, 900000, 100000, 2, 0))
CHANGES_A_SECOND = 1000
WAYS = ("seal", "open")


def program(*path):
    path = os.path.join(netns.build_dir(), *path)
    if not os.access(path, os.X_OK):
        raise netns.Skip("%s (build it: ninja -C %s)" % (path, netns.build_dir()))
    return path


def scale(*args):
    """{figure: value} of one run."""
    text = subprocess.run([program("perf", "scale")] + [str(a) for a in args],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    return {name: float(value) for name, value in (l.split() for l in text.splitlines())}


def tsc_hz():
    return float(subprocess.run([program("perf", "pipeline"), "tsc"], stdout=subprocess.PIPE,
                                check=True, text=True).stdout)


def program_a_dataplane(peers):
    """Seconds that a fresh causeway-dp takes for so many peers with a route and a session; None
    where it cannot run (it needs a TUN)."""
    if os.geteuid():
        return None
    with tempfile.TemporaryDirectory() as tmp:
        socket = os.path.join(tmp, "dp.sock")
        with open(os.path.join(tmp, "log"), "w") as log:
            dp = subprocess.Popen(
                ["unshare", "--net", program("bin", "causeway-dp"), "--socket", socket, "--port",
                 "kernel:tun=scale0,listen=41641", "--no-huge", "--log-level", "error"],
                stdout=log, stderr=log)
        try:
            for _ in range(100):
                if os.path.exists(socket) or dp.poll() is not None:
                    break
                time.sleep(0.1)
            if not os.path.exists(socket):
                return None
            return scale("program", socket, peers)["program-s"]
        finally:
            dp.terminate()
            dp.wait(20)


def name(setup):
    return dict(zip(("peers", "routes4", "routes6", "workers", "lanes"), setup))


def measure(runs, setups):
    """({setup: {way: [ticks]}}, {(setup, way, stage): [ticks]}, {figure: [values]})"""
    got = {s: {w: [] for w in WAYS} for s in setups}
    stages, other = {}, {}
    for _ in range(runs):
        for s in setups:
            figures = scale("rates", *s)
            for w in WAYS:
                got[s][w].append(figures.pop(w))
            for figure, v in figures.items():
                way, stage = figure.split("-", 1)
                stages.setdefault((s, way, stage), []).append(v)
    for _ in range(min(runs, 3)):
        for figure, v in scale("changes", MANY, 900000, 100000, CHANGES_A_SECOND).items():
            other.setdefault(figure, []).append(v)
    other.update({k: [v] for k, v in scale("memory", MANY).items()})
    other["program-s"] = [program_a_dataplane(MANY) for _ in range(min(runs, 3))]
    return got, stages, other


def rows_of(got, stages, other, hz, cpu):
    rows = [row(BENCH, "stage", "ticks/packet", values, "lower",
                params=dict(name(s), way=way, stage=stage), cpu=cpu)
            for (s, way, stage), values in stages.items()]
    for s, ways in got.items():
        for way, values in ways.items():
            params = dict(name(s), way=way, load="64")
            workers = s[3]
            r = row(BENCH, "rate", "packets/s", [workers * hz / v for v in values], "higher",
                    params=params, cpu=cpu)
            if workers > 1:
                one = got.get(s[:3] + (1, 0))
                reference, what = (one[way] if one else None), "one worker"
            else:
                reference, what = got[FIRST][way], "one peer, 100 routes"
            rows.append(compare(r, [hz / v for v in reference or []], what))
            rows.append(row(BENCH, "total", "ticks/packet", values, "lower", params=params, cpu=cpu))
    many = {"peers": MANY}
    routes = dict(many, routes4=900000, routes6=100000, changes=CHANGES_A_SECOND)
    for way in WAYS:
        r = row(BENCH, "rate-changing", "packets/s", [hz / v for v in other[way + "-changing"]],
                "higher", params=dict(routes, way=way), cpu=cpu)
        rows.append(compare(r, [hz / v for v in other[way + "-quiet"]], "no changes"))
    rows.append(row(BENCH, "change", "us", [v / 1000 for v in other["change-ns"]], "lower",
                    params=routes, cpu=cpu))
    for figure, key in (("memory-peer", "peer"), ("memory-session", "session"),
                        ("memory-session-idle", "session-idle")):
        rows.append(row(BENCH, figure, "bytes", other[key], "lower", params=many, cpu=cpu))
    rows.append(row(BENCH, "program", "s", other["program-s"], "lower", params=many, cpu=cpu))
    return [r for r in rows if r]


def table(rows, cpu):
    print("%s; 64-byte packets, medians" % cpu)
    print("%-7s %8s %9s %8s %6s %8s %8s  %s" % (
        "way", "peers", "routes", "workers", "lanes", "Mpps", "ratio", "to"))
    for r in rows:
        p = r["params"]
        if r["figure"] == "rate":
            parts = ["%s %.0f" % (o["params"]["stage"], o["median"]) for o in rows
                     if o["figure"] == "stage" and dict(p, stage=o["params"]["stage"]) ==
                     dict(o["params"], load=p["load"])]
            print("%-7s %8d %9d %8d %6d %8.2f %8.2f  %-20s  %s" % (
                p["way"], p["peers"], p["routes4"] + p["routes6"], p["workers"], p["lanes"],
                r["median"] / 1e6, r.get("ratio", 1), r.get("ratio_to", ""), ", ".join(parts)))
    for r in rows:
        if r["figure"] not in ("rate", "total", "stage"):
            ratio = "  %.2f of %s" % (r["ratio"], r["ratio_to"]) if "ratio" in r else ""
            print("%-20s %12.6g %-10s %s%s" % (r["figure"], r["median"], r["unit"],
                                              r["params"].get("way", ""), ratio))


def main():
    ap = argparse.ArgumentParser(prog="perf scale", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--quick", action="store_true", help="one round, one peer and many, one worker")
    a = ap.parse_args()
    try:
        hz = tsc_hz()
        got, stages, other = measure(1 if a.quick else a.runs,
                                     (FIRST, MOST) if a.quick else SETUPS)
    except netns.Skip as e:
        print("perf scale: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine()
    rows = rows_of(got, stages, other, hz, cpu)
    table(rows, cpu)
    if a.json:
        write(a.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
