#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf pipeline: ticks a packet from stage to stage, one worker, beside the engine alone.

A dataplane on the bench: one allow-all rule, a table of 100 routes, packets that were made (and
sealed) beforehand, 64 a batch, and a port that only counts. One peer, 100 peers in turn, and one
peer behind a full queue of 2,048 packets (short: of 64), whose payload was last touched 2,048
packets ago. Ways: seal (LAN to peer), open (peer to LAN), hub
(peer to peer). `engine` is the AEAD engine alone on the same texts, `beyond` the rest of the
whole, and the ratio is to ipsec-mb's bare seal in batches of 32, in the same round."""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402

WAYS = ("seal", "open", "hub")
LOADS = ("64", "512", "1420", "imix")
BYTES = {"64": 64, "512": 512, "1420": 1420, "imix": 420}
SETUPS = ((1, "short"), (100, "short"), (1, "full"))
STAGES = ("rx-outside", "rx-inside", "classify", "open", "filter", "route", "mtu", "seal", "tx")
BARE = "ipsecmb"


def ticks_a_second():
    """Of the time stamp counter, against the clock."""
    text = subprocess.run([program(), "tsc"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    return float(text)


def program():
    path = os.path.join(netns.build_dir(), "perf", "pipeline")
    if not os.access(path, os.X_OK):
        raise netns.Skip("%s (build it: ninja -C %s perf/pipeline)" % (path, netns.build_dir()))
    return path


def measure(runs, setups, engine):
    """{(peers, queue): {(way, load): {figure: [ticks of each round]}}}; the setups take turns."""
    got = {s: {} for s in setups}
    for _ in range(runs):
        for peers, queue in setups:
            text = subprocess.run(
                [program(), "1", str(peers), queue] + ([engine] if engine else []),
                stdout=subprocess.PIPE, check=True, text=True).stdout
            for line in text.splitlines():
                _, way, load, figure, ticks = line.split()
                figures = got[peers, queue].setdefault((way, load), {})
                figures.setdefault(figure, []).append(float(ticks))
    return got


def rows_of(got, hz, cpu):
    rows = []
    for (peers, queue), loads in got.items():
        for (way, load), figures in loads.items():
            params = {"way": way, "load": load, "peers": peers, "queue": queue}
            bare = loads["seal", load].get(BARE)
            for figure, values in figures.items():
                r = row("pipeline", figure, "ticks/packet", values, "lower", params=params,
                        cpu=cpu, implementation=BARE if figure == BARE else "causeway")
                if figure == "total":
                    compare(r, bare, BARE + " seal")
                rows.append(r)
            total = figures["total"]
            if "engine" in figures:
                rows.append(row("pipeline", "beyond", "ticks/packet",
                                [t - e for t, e in zip(total, figures["engine"])], "lower",
                                params=params, cpu=cpu))
            rows.append(row("pipeline", "rate", "packets/s", [hz / t for t in total], "higher",
                            params=params, cpu=cpu))
            rows.append(row("pipeline", "throughput", "Gbit/s",
                            [hz / t * BYTES[load] * 8 / 1e9 for t in total], "higher",
                            params=params, cpu=cpu))
    return rows


def cell(rows, figure, **params):
    for r in rows:
        if r["figure"] == figure and r["params"] == params:
            return r
    return None


def table(rows, setups, cpu, hz):
    print("%s, TSC %.2f GHz; ticks a packet, medians" % (cpu, hz / 1e9))
    for peers, queue in setups:
        print("\n%d peer%s, %s queue" % (peers, "s in turn" if peers > 1 else "", queue))
        print("%-5s %5s %7s %7s %7s %6s %7s %7s  %s" % (
            "way", "load", "total", "engine", "beyond", "ratio", "Mpps", "Gbit/s", "stages"))
        for way in WAYS:
            for load in LOADS:
                p = {"way": way, "load": load, "peers": peers, "queue": queue}
                total = cell(rows, "total", **p)
                if not total:
                    continue
                engine, beyond = (cell(rows, f, **p) for f in ("engine", "beyond"))
                parts = [(s, cell(rows, s, **p)) for s in STAGES]
                print("%-5s %5s %7.0f %7s %7s %6s %7.2f %7.2f  %s" % (
                    way, load, total["median"], "%.0f" % engine["median"] if engine else "",
                    "%.0f" % beyond["median"] if beyond else "",
                    "%.2f" % total["ratio"] if "ratio" in total else "",
                    cell(rows, "rate", **p)["median"] / 1e6,
                    cell(rows, "throughput", **p)["median"],
                    " ".join("%s %.0f" % (s, r["median"]) for s, r in parts if r)))


def main():
    ap = argparse.ArgumentParser(prog="perf pipeline", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=7)
    ap.add_argument("--engine", help="AEAD engine (default: what causeway-dp would take)")
    ap.add_argument("--quick", action="store_true", help="one peer, hot, only")
    a = ap.parse_args()
    setups = SETUPS[:1] if a.quick else SETUPS
    try:
        hz = ticks_a_second()
        got = measure(a.runs, setups, a.engine)
    except netns.Skip as e:
        print("perf pipeline: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine()
    rows = rows_of(got, hz, cpu)
    table(rows, setups, cpu, hz)
    if a.json:
        write(a.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
