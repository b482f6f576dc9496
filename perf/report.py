#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.py [FOLDER]: draws the rows of FOLDER/*.json (perf/out) into FOLDER/report.html.

One file that needs no other: tables of all rows, and for each figure a plot, made here. Lines
where a figure was taken over sizes, loads or percentiles, bars elsewhere; whiskers and bands go
from the least to the largest round. Well-formed XML, so that a parser can check it."""

import glob
import html
import json
import math
import os
import re
import sys
import time

from rows import number

# Parameters that make an axis, and how it is named. The first that varies is taken.
AXES = (("percentile", "percentile of packets"), ("size", "bytes"), ("bytes", "bytes"),
        ("load", "bytes"), ("peers", "peers"), ("routes", "routes"))
LINE_POINTS_MIN = 3
BARS_MAX = 24
COLOURS = 8
PLOT_W, PLOT_H, LEFT, RIGHT, TOP, BOTTOM = 720, 260, 64, 200, 14, 36
BAR_H, BAR_LEFT = 20, 330
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #66707c; --line: #d5dae0;
  --page: #ffffff; --c0: #1f6fb4; --c1: #c5561a; --c2: #2b8a4b; --c3: #8a4bb0; --c4: #a8325e;
  --c5: #6f7a12; --c6: #14808a; --c7: #7a5a3a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa4af; --line: #39414a;
  --page: #14181c; --c0: #6db3f2; --c1: #f39a64; --c2: #6fd08f; --c3: #c79bea; --c4: #f08aae;
  --c5: #c8d45c; --c6: #62d0da; --c7: #d0ab83; } }
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
  max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1, h2, h3 { line-height: 1.2; } h2 { border-top: 1px solid var(--line); padding-top: 1em; }
p.note { color: var(--soft); } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 2px 10px 2px 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: var(--soft); } svg { max-width: 100%; height: auto; }
div.wide { overflow-x: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg text.s { fill: var(--soft); }
svg .grid { stroke: var(--line); } svg .whisker { stroke: var(--ink); fill: none; }
""" + "".join("svg .f%d { fill: var(--c%d); } svg .l%d { stroke: var(--c%d); fill: none; "
              "stroke-width: 2; }\n" % (i, i, i, i) for i in range(COLOURS))


def esc(v):
    return html.escape(NOT_XML.sub("\ufffd", str(v)))


def params_text(params, without=()):
    return " ".join("%s=%s" % (k, params[k]) for k in sorted(params) if k not in without)


def as_number(v):
    try:
        return float(v)
    except (TypeError, ValueError):
        return None


def scale_top(v):
    """A round number not below v, and the step of a grid of at most six lines."""
    v = v if v > 0 else 1.0
    power = 10.0 ** (math.floor(math.log10(v)) - 1)
    step = next(s * power for s in (2, 5, 10, 20) if v <= 5 * s * power)
    return step * math.ceil(v / step), step


def grouped(rows, key):
    out = {}
    for r in rows:
        out.setdefault(key(r), []).append(r)
    return out


def axis_of(rows):
    """(parameter, name) that rows of one figure are drawn over, or None: then it is bars."""
    for name, text in AXES:
        at = {r["params"].get(name) for r in rows}
        points = {as_number(v) for v in at} - {None}
        if len(points) >= LINE_POINTS_MIN:
            return name, text
    return None


def text(x, y, words, anchor="start", kind=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (
        x, y, anchor, ' class="%s"' % kind if kind else "", esc(words))


def line(x1, y1, x2, y2, kind):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, kind)


def svg(w, h, parts, title):
    return '<svg viewBox="0 0 %d %d" width="%d" role="img" xmlns="http://www.w3.org/2000/svg">' \
        '<title>%s</title>%s</svg>' % (w, h, w, esc(title), "".join(parts))


def bars(rows, title):
    """One bar a row, its whisker from the least round to the largest."""
    top, step = scale_top(max(r["max"] for r in rows))
    width = PLOT_W + RIGHT - BAR_LEFT - 90
    h = BAR_H * len(rows) + 30
    impls = list(dict.fromkeys(r["implementation"] for r in rows))
    parts = []
    for i in range(int(round(top / step)) + 1):
        x = BAR_LEFT + width * i * step / top
        parts += [line(x, 4, x, h - 22, "grid"), text(x, h - 8, number(i * step), "middle", "s")]
    for i, r in enumerate(rows):
        y = 6 + i * BAR_H
        at = [BAR_LEFT + width * max(0, r[k]) / top for k in ("median", "min", "max")]
        label = "%s %s" % (r["implementation"], params_text(r["params"], ("seconds",)))
        parts.append(text(BAR_LEFT - 6, y + 11, label[:54], "end"))
        parts.append('<rect x="%d" y="%d" width="%.1f" height="%d" class="f%d"><title>%s</title>'
                     '</rect>' % (BAR_LEFT, y, at[0] - BAR_LEFT, BAR_H - 6,
                                  impls.index(r["implementation"]) % COLOURS, esc(label)))
        parts.append(line(at[1], y + 7, at[2], y + 7, "whisker"))
        for x in at[1:]:
            parts.append(line(x, y + 4, x, y + 10, "whisker"))
        parts.append(text(at[2] + 6, y + 11, number(r["median"]) +
                          (" (x %.2f)" % r["ratio"] if "ratio" in r else "")))
    return svg(PLOT_W + RIGHT, h, parts, title)


def place(values):
    """Where along the axis (0..1) each value lies: even steps, as sizes and percentiles both
    crowd at one end."""
    order = sorted(set(values))
    return {v: (i + 0.5) / len(order) for i, v in enumerate(order)}


def lines(rows, axis, title):
    """One line for each implementation and setting, over the axis."""
    name, words = axis
    rows = [r for r in rows if as_number(r["params"].get(name)) is not None]
    top, step = scale_top(max(r["max"] for r in rows))
    x_of = place([as_number(r["params"][name]) for r in rows])
    series = grouped(rows, lambda r: (r["implementation"],
                                      params_text(r["params"], (name, "seconds"))))
    h = max(PLOT_H, 20 * len(series) + 40)
    parts = []

    def y(v):
        return h - BOTTOM - (h - TOP - BOTTOM) * max(0, v) / top

    for i in range(int(round(top / step)) + 1):
        parts += [line(LEFT, y(i * step), PLOT_W, y(i * step), "grid"),
                  text(LEFT - 6, y(i * step) + 4, number(i * step), "end", "s")]
    for v, x in x_of.items():
        parts.append(text(LEFT + (PLOT_W - LEFT) * x, h - 18, "%g" % v, "middle", "s"))
    parts.append(text((LEFT + PLOT_W) / 2, h - 3, words, "middle", "s"))
    for i, ((impl, rest), some) in enumerate(series.items()):
        points = [(LEFT + (PLOT_W - LEFT) * x_of[as_number(r["params"][name])], r)
                  for r in sorted(some, key=lambda r: as_number(r["params"][name]))]
        parts.append('<polyline points="%s" class="l%d"><title>%s</title></polyline>' % (
            " ".join("%.1f,%.1f" % (x, y(r["median"])) for x, r in points), i % COLOURS,
            esc("%s %s" % (impl, rest))))
        for x, r in points:
            parts.append(line(x, y(r["min"]), x, y(r["max"]), "l%d" % (i % COLOURS)))
            parts.append('<circle cx="%.1f" cy="%.1f" r="3" class="f%d"><title>%s</title>'
                         '</circle>' % (x, y(r["median"]), i % COLOURS, number(r["median"])))
        parts.append('<rect x="%d" y="%d" width="10" height="10" class="f%d"/>' % (
            PLOT_W + 10, TOP + 20 * i, i % COLOURS))
        parts.append(text(PLOT_W + 26, TOP + 10 + 20 * i, ("%s %s" % (impl, rest))[:40]))
    return svg(PLOT_W + RIGHT, h, parts, title)


def plots(rows):
    """The SVGs of one figure: lines hold at most as many series as there are colours, bars come
    in pieces; what has no place on the axis (a mix of sizes) becomes bars."""
    title = "%s %s, %s" % (rows[0]["bench"], rows[0]["figure"], rows[0]["unit"])
    axis = axis_of(rows)
    if not axis:
        return [bars(rows[i:i + BARS_MAX], title) for i in range(0, len(rows), BARS_MAX)]
    off_axis = [r for r in rows if as_number(r["params"].get(axis[0])) is None]
    on_axis = [r for r in rows if as_number(r["params"].get(axis[0])) is not None]
    series = grouped(on_axis, lambda r: (r["implementation"],
                                         params_text(r["params"], (axis[0], "seconds"))))
    some = list(series.values())
    out = [lines([r for s in some[i:i + COLOURS] for r in s], axis, title)
           for i in range(0, len(some), COLOURS)]
    return out + [bars(off_axis[i:i + BARS_MAX], title)
                  for i in range(0, len(off_axis), BARS_MAX)]


def ratio_text(r):
    if "ratio" not in r:
        return ""
    return "%.2f (%.2f..%.2f) to %s" % (r["ratio"], r.get("ratio_min", r["ratio"]),
                                        r.get("ratio_max", r["ratio"]), r.get("ratio_to", "?"))


def table(rows):
    out = ['<div class="wide"><table><tr><th>what</th><th>figure</th><th>of</th><th>with</th>'
           '<th class="n">median</th><th class="n">least..largest</th><th>unit</th>'
           '<th class="n">runs</th><th>ratio</th></tr>']
    for r in rows:
        out.append('<tr class="row"><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td class="n">%s'
                   '</td><td class="n">%s..%s</td><td>%s</td><td class="n">%s</td><td>%s</td>'
                   '</tr>' % (esc(r["bench"]), esc(r["figure"]), esc(r["implementation"]),
                              esc(params_text(r["params"])), number(r["median"]),
                              number(r["min"]), number(r["max"]), esc(r["unit"]),
                              esc(r["runs"]), esc(ratio_text(r))))
    return "".join(out) + "</table></div>"


def section(name, rows, when):
    cpus = ", ".join(dict.fromkeys(str(r.get("cpu", "?")) for r in rows))
    out = ["<h2>%s</h2>" % esc(name),
           '<p class="note">%s; %s. Medians; whiskers from the least round to the largest.</p>' %
           (esc(cpus), esc(when))]
    for (bench, figure, unit), some in grouped(
            rows, lambda r: (r["bench"], r["figure"], r["unit"])).items():
        better = some[0].get("better")
        out.append("<h3>%s: %s, %s%s</h3>" % (esc(bench), esc(figure), esc(unit), esc(
            ", %s is better" % better if better else "")))
        out += plots(some)
    out.append("<details><summary>all %d rows</summary>%s</details>" % (len(rows), table(rows)))
    return "".join(out)


def page(sections):
    """sections: [(name, rows, date)]"""
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
            "<title>Causeway: what was measured</title><style>%s</style></head><body>"
            "<h1>Causeway: what was measured</h1>%s</body></html>\n" % (
                STYLE, "".join(section(*s) for s in sections) or "<p>Nothing yet.</p>"))


def draw(folder):
    """Writes the report of the folder's rows; returns its path."""
    sections = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path) as f:
            rows = json.load(f)
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(os.path.getmtime(path)))
        if rows:
            sections.append((os.path.basename(path)[:-5], rows, when))
    out = os.path.join(folder, "report.html")
    with open(out, "w", encoding="utf-8") as f:
        f.write(page(sections))
    return out


if __name__ == "__main__":
    print(draw(sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "out")))
