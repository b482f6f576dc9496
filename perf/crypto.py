#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf crypto: every AEAD engine that this CPU runs, sealing and opening batches.

Ticks of the time stamp counter a message, texts in the cache, all engines on each load one
after the other in every round, so that the ratio to ipsec-mb is one of the same round: how
many times as fast. Loads: lengths of the text, and a mix of 64, 576 and 1,420 bytes; all
messages with one key, or each with its own. All engines in batches of 32, then the default and
what it chooses from in batches of 1 to 64."""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lab"))

import netns  # noqa: E402
from rows import compare, machine, row, write  # noqa: E402

REFERENCE = "ipsecmb"
# What runs on a CPU without AVX-512 is also held against ipsec-mb as it runs there.
AVX2_REFERENCE = "ipsecmb-avx2"
AVX2_ENGINES = ("mb-avx2", "mixed-avx2")
# Measured in other batches too, if the machine has them.
CHOICE = ("mixed", "mb-avx512", REFERENCE)
BATCHES = (1, 4, 8, 16, 64)


def program():
    path = os.path.join(netns.build_dir(), "perf", "crypto")
    if not os.access(path, os.X_OK):
        raise netns.Skip("%s (build it: ninja -C %s perf/crypto)" % (path, netns.build_dir()))
    return path


def measure(rounds, batch, engines=()):
    """{(way, keys, load): {engine: [ticks of each round]}}, in the order of the loads."""
    got = {}
    text = subprocess.run([program(), str(rounds), str(batch)] + list(engines), stdout=subprocess.PIPE,
                          check=True, text=True).stdout
    for line in text.splitlines():
        _, way, keys, load, engine, ticks = line.split()
        got.setdefault((way, int(keys), load), {}).setdefault(engine, []).append(float(ticks))
    return got


def rows_of(got, batch, cpu):
    rows = []
    for (way, keys, load), engines in got.items():
        for engine, values in engines.items():
            r = row("crypto-" + way, "time", "ticks/message", values, "lower", engine,
                    {"keys": keys, "load": load, "batch": batch}, cpu)
            rows.append(compare(dict(r), engines.get(REFERENCE), REFERENCE, is_speed=True))
            if engine in AVX2_ENGINES:
                rows.append(compare(r, engines.get(AVX2_REFERENCE), AVX2_REFERENCE,
                                    is_speed=True))
    return rows


def table(got, rows, cpu, batch, reference, engines):
    print("\n%s; batches of %d; ticks a message, median; x: times as fast as %s" % (
        cpu, batch, reference))
    print("%-5s %5s %6s" % ("way", "keys", "load") + "".join("%17s" % e for e in engines))
    for key in sorted(got, key=lambda k: (k[0] == "open", k[1])):
        cells = []
        for e in engines:
            for r in rows:
                p = r["params"]
                if (r["bench"][7:], p["keys"], p["load"], r["implementation"]) == key + (e,) \
                        and r.get("ratio_to", reference) == reference:
                    cells.append("%8.0f  x%5.2f" % (r["median"], r.get("ratio", 0)))
        print("%-5s %5d %6s" % key + "".join("%17s" % c for c in cells))


def tables(got, rows, cpu, batch):
    engines = list(dict.fromkeys(r["implementation"] for r in rows))
    avx2 = [e for e in AVX2_ENGINES if e in engines]
    as_it_comes = [e for e in engines if e not in avx2 and e != AVX2_REFERENCE]
    table(got, rows, cpu, batch, REFERENCE, as_it_comes)
    if avx2:
        table(got, rows, cpu, batch, REFERENCE, avx2 + [AVX2_REFERENCE])
        table(got, rows, cpu, batch, AVX2_REFERENCE, avx2)


def batch_table(rows, cpu):
    """How the default, and the multi-buffer engine alone, do in batches of other sizes."""
    batches = list(dict.fromkeys(r["params"]["batch"] for r in rows))
    for engine in CHOICE[:-1]:
        cells = {}
        for r in rows:
            p = r["params"]
            if r["implementation"] == engine:
                cells.setdefault((r["bench"][7:], p["keys"] > 1, p["load"]), {})[p["batch"]] = \
                    "%8.0f  x%5.2f" % (r["median"], r.get("ratio", 0))
        if not cells:
            continue
        print("\n%s; %s by messages a batch; ticks a message, median; x: times as fast as %s" % (
            cpu, engine, REFERENCE))
        print("%-5s %5s %6s" % ("way", "keys", "load") + "".join("%17d" % b for b in batches))
        for key in sorted(cells, key=lambda k: (k[0] == "open", k[1])):
            print("%-5s %5s %6s" % (key[0], "each" if key[1] else "one", key[2]) +
                  "".join("%17s" % cells[key].get(b, "") for b in batches))


def main():
    ap = argparse.ArgumentParser(prog="perf crypto", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=9)
    ap.add_argument("--batch", type=int,
                    help="only this many messages a call, 1 to 64, by all engines")
    a = ap.parse_args()
    cpu = machine()
    batch = a.batch or 32
    try:
        got = measure(a.runs, batch)
        rows = rows_of(got, batch, cpu)
        tables(got, rows, cpu, batch)
        if not a.batch:
            others = []
            for n in BATCHES:
                others += rows_of(measure(a.runs, n, CHOICE), n, cpu)
            batch_table(others, cpu)
            rows += others
    except netns.Skip as e:
        print("perf crypto: missing: %s" % e, file=sys.stderr)
        return 77
    if a.json:
        write(a.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
