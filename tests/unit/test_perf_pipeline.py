#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pipeline benchmark runs: every packet comes out as what went in (the program fails
otherwise), and its rows say of each way and load what adds up.

test_perf_pipeline.py PROGRAM PERF_DIR"""

import subprocess
import sys

PEERS, BATCHES = 3, 9


def lines(program, queue):
    p = subprocess.run([program, "1", str(PEERS), queue, "-", str(BATCHES)],
                       stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    return [l.split() for l in p.stdout.splitlines()]


def check(pipeline, got, queue):
    figures = {}
    for _, way, load, figure, ticks in got:
        figures.setdefault((way, load), {}).setdefault(figure, []).append(float(ticks))
    assert set(figures) == {(w, l) for w in pipeline.WAYS for l in pipeline.LOADS}, set(figures)
    for (way, load), f in figures.items():
        stages = sum(v[0] for s, v in f.items() if s in pipeline.STAGES)
        wanted = {"seal"} if way == "seal" else {"open"} if way == "open" else {"seal", "open"}
        assert wanted <= set(f), (way, load, f)
        # Stages are medians of their own, and a slow batch counts in any of them.
        assert 0 < stages < 2 * f["total"][0], (way, load, f)
    rows = pipeline.rows_of({(PEERS, queue): figures}, 1e9, "some")
    for r in rows:
        assert r["unit"] and r["params"]["queue"] == queue and r["runs"] == 1, r
        assert r["figure"] == "beyond" or r["median"] > 0, r
    assert {r["figure"] for r in rows} >= {"total", "engine", "beyond", "rate", "throughput"}


def main(program, perf_dir):
    sys.path.insert(0, perf_dir)
    import pipeline

    for queue in ("short", "full"):
        check(pipeline, lines(program, queue), queue)
    bad = subprocess.run([program, "1"], stderr=subprocess.DEVNULL)
    assert bad.returncode == 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
