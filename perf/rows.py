# SPDX-License-Identifier: Apache-2.0
"""What all benchmarks share: rows of figures, the machine they were taken on, and files of them.

A row is one figure of one implementation: bench, figure, unit, better ("higher", "lower" or
""), implementation, the median, min and max of `values` (one a round), params (a dict), cpu;
and for a comparison ratio, ratio_min, ratio_max of the rounds' own ratios, and ratio_to."""

import json
import os
import statistics


def machine():
    """The CPU as its maker and its numbers name it, how many cores there are, the kernel."""
    with open("/proc/cpuinfo") as f:
        info = dict(l.split(":", 1) for l in f.read().split("\n\n")[0].splitlines() if ":" in l)
    info = {k.strip(): v.strip() for k, v in info.items()}
    return "%s, family %s model %s, %d cores, Linux %s" % (
        info.get("model name", "?"), info.get("cpu family", "?"), info.get("model", "?"),
        os.cpu_count(), os.uname().release)


def row(bench, figure, unit, values, better="", implementation="causeway", params=None,
        cpu=None):
    """A row, or None without a value. `values` may hold None for rounds that failed."""
    got = [v for v in values if v is not None]
    if not got:
        return None
    return {"bench": bench, "figure": figure, "unit": unit, "better": better,
            "implementation": implementation, "median": statistics.median(got),
            "min": min(got), "max": max(got), "runs": len(got), "values": list(values),
            "params": dict(params or {}), "cpu": cpu or machine()}


def compare(r, reference, ratio_to, is_speed=False):
    """Adds the ratio to another implementation's values of the same rounds; is_speed: how many
    times as fast, for figures that are times."""
    pairs = [(v, w) for v, w in zip(r["values"], reference or []) if v and w]
    ratios = [w / v if is_speed else v / w for v, w in pairs]
    if ratios:
        r["ratio"] = statistics.median(ratios)
        r["ratio_min"], r["ratio_max"] = min(ratios), max(ratios)
        r["ratio_to"] = ratio_to
    return r


def number(v):
    """For tables: three digits, or a whole number where it is large."""
    return "%.0f" % v if abs(v) >= 1000 else "%.3g" % v


def write(path, rows):
    """The JSON file of a benchmark."""
    with open(path, "w") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
