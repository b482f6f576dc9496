#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that benchmark rows are medians and ratios of rounds, that a report holds every row and
no markup of theirs, and that the RFC 2544 search finds the rate of a device that is known."""

import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "perf"))

import report  # noqa: E402
import rows  # noqa: E402
from rfc2544 import Trial, search  # noqa: E402

HOSTILE = "<script>alert(\"x\")</script>&amp;'\x01\x00\ud800"


class Rows(unittest.TestCase):
    def test_row(self):
        r = rows.row("b", "f", "u", [3, None, 1, 2], "higher", "i", {"size": 64}, "cpu")
        self.assertEqual((r["median"], r["min"], r["max"], r["runs"]), (2, 1, 3, 3))
        self.assertEqual(r["values"], [3, None, 1, 2])
        self.assertIsNone(rows.row("b", "f", "u", [None]))

    def test_ratio_is_of_the_rounds(self):
        r = rows.row("b", "f", "u", [10, None, 30, 8])
        rows.compare(r, [5, 7, 10, None], "other")
        self.assertEqual((r["ratio"], r["ratio_min"], r["ratio_max"]), (2.5, 2, 3))
        self.assertEqual(r["ratio_to"], "other")
        r = rows.compare(rows.row("b", "f", "u", [10]), [20], "other", is_speed=True)
        self.assertEqual(r["ratio"], 2)
        self.assertNotIn("ratio", rows.compare(rows.row("b", "f", "u", [1]), None, "other"))

    def test_machine(self):
        self.assertIn(os.uname().release, rows.machine())
        self.assertIn("cores", rows.machine())


class Report(unittest.TestCase):
    def drawn(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, some in files.items():
                rows.write(os.path.join(folder, name + ".json"), some)
            path = report.draw(folder)
            with open(path, encoding="utf-8") as f:
                text = f.read()
            return text, ElementTree.fromstring(text)

    @staticmethod
    def of(tree, tag):
        return [e for e in tree.iter() if e.tag.split("}")[-1] == tag]

    def rows_shown(self, tree):
        return [e for e in self.of(tree, "tr") if e.get("class") == "row"]

    def test_every_row_is_there(self):
        some = [rows.row("bench", "rate", "Mpps", [1 + i, 2 + i, 3 + i], "higher", impl,
                         {"size": size}, "cpu")
                for i, size in enumerate((64, 512, 1420)) for impl in ("one", "two")]
        some.append(rows.row("bench", "rate", "Mpps", [7], "higher", "one", {"size": "imix"}))
        some += [rows.row("bench", "lost", "%", [v], "", "one", {}) for v in (0, -1, 1e-9, 3e12)]
        some += [rows.row("bars", "rate", "x", [v], "", "i%d" % v, {}) for v in range(60)]
        rows.compare(some[1], [4, 4, 4], "one")
        text, tree = self.drawn({"a": some, "b": some[:2], "none": []})
        self.assertEqual(len(self.rows_shown(tree)), len(some) + 2)
        shown = ["".join(e.itertext()) for e in self.rows_shown(tree)]
        for r in some:
            self.assertTrue(any(r["implementation"] in s and r["figure"] in s and
                                rows.number(r["median"]) in s for s in shown), r)
        # Lines over sizes; bars for the mix and for what has no axis, every one of them.
        self.assertEqual(len(self.of(tree, "polyline")), 2)
        self.assertEqual(len([e for e in self.of(tree, "circle")]), 6)
        titles = [t.text or "" for e in self.of(tree, "rect") for t in e]
        for v in range(60):
            self.assertIn("i%d " % v, titles)
        self.assertNotIn("http://", text.replace("http://www.w3.org/2000/svg", ""))
        self.assertNotIn("https://", text)

    def test_hostile_text(self):
        r = rows.row(HOSTILE, HOSTILE, HOSTILE, [1], HOSTILE, HOSTILE, {HOSTILE: HOSTILE},
                     HOSTILE)
        rows.compare(r, [1], HOSTILE)
        text, tree = self.drawn({"a<b>": [r]})
        self.assertEqual(len(self.rows_shown(tree)), 1)
        self.assertEqual(self.of(tree, "script"), [])
        self.assertNotIn("<script", text)
        self.assertIn("&lt;script&gt;", text)

    def test_grid_is_not_below_its_values(self):
        for v in (1e-9, 0.3, 1, 2.5, 7, 99, 100, 1e12):
            top, step = report.scale_top(v)
            self.assertGreaterEqual(top, v * (1 - 1e-9))
            self.assertLessEqual(top, 2.5 * v)
            self.assertLessEqual(top / step, 5.5)


class Device:
    """Carries `capacity` a second; its source sends at most `source`."""

    def __init__(self, capacity, source=1e12, hiccups=()):
        self.capacity, self.source, self.hiccups, self.trials = capacity, source, hiccups, 0

    def __call__(self, rate):
        self.trials += 1
        rate = min(rate, self.source)
        got = min(rate, self.capacity) * (0.9 if self.trials in self.hiccups else 1)
        return Trial(rate, got, rate)


class Search(unittest.TestCase):
    def test_finds_the_rate(self):
        for capacity in (30, 1000, 123456, 990000):
            d = Device(capacity)
            got = search(d, 1000000, precision=0.01)
            if capacity < 1000000 * 0.01:
                continue  # below its precision
            self.assertLessEqual(got.rate, capacity)
            self.assertGreater(got.rate, capacity * 0.98)
            self.assertLess(d.trials, 25)

    def test_takes_the_highest_at_once(self):
        d = Device(2e6)
        self.assertEqual((search(d, 1e6).rate, d.trials), (1e6, 1))

    def test_source_is_the_limit(self):
        self.assertEqual(search(Device(2e6, source=5e5), 1e6).rate, 5e5)

    def test_nothing_passes(self):
        self.assertIsNone(search(Device(0), 1e6))
        self.assertEqual(Trial(0, 0, 0).loss, 1.0)

    def test_a_little_loss_is_loss(self):
        got = search(lambda r: Trial(1e6, 1e6 - (20 if r > 100 else 9), r), 1000)
        self.assertLessEqual(got.rate, 100)

    def test_hiccup(self):
        d = Device(1e7, hiccups=(1,))
        self.assertEqual(search(d, 1e6, repeat=2).rate, 1e6)
        self.assertLess(search(Device(1e7, hiccups=(1,)), 1e6).rate, 1e6)

    def test_confirmed(self):
        d = Device(1e7, hiccups=(2,))
        self.assertLess(search(d, 1e6, confirm=2).rate, 1e6)


if __name__ == "__main__":
    unittest.main()
