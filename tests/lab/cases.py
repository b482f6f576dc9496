# SPDX-License-Identifier: Apache-2.0
"""How the lab's test programs name, choose, run and report their cases.

A test program builds a list of (name, function) and calls main(). Cases of one group
run side by side, groups one after another: cases that wait on real timers share a group.
Output: `ok NAME`, `FAIL NAME reason` or `skip NAME what is missing`, then a count. The
exit code is 0 when none failed, 77 when all were skipped.
"""

import argparse
import concurrent.futures
import os
import sys
import time
import traceback

from netns import Skip, catch_signals, close_all


class Failed(Exception):
    """The thing under test did not do what it must."""


def check(cond, text):
    if not cond:
        raise Failed(text)


def _run(name, fn):
    t0 = time.monotonic()
    try:
        note = fn() or ""
        return "ok", name, str(note), time.monotonic() - t0
    except Skip as e:
        return "skip", name, str(e), time.monotonic() - t0
    except Exception as e:  # a broken test is a failed test
        if not isinstance(e, Failed) and os.environ.get("CAUSEWAY_LAB_TRACE"):
            traceback.print_exc()
        return "FAIL", name, "%s%s" % ("" if isinstance(e, Failed) else type(e).__name__ + ": ",
                                       e), time.monotonic() - t0


def main(groups, doc):
    """groups: a list of lists of (name, function)."""
    ap = argparse.ArgumentParser(description=doc)
    ap.add_argument("cases", nargs="*", help="names or parts of names; all without")
    ap.add_argument("--list", action="store_true", help="print the names and end")
    ap.add_argument("--jobs", type=int, default=8, help="cases at a time within a group")
    a = ap.parse_args()
    catch_signals()  # here: cases run in threads, which may not

    names = [n for g in groups for n, _ in g]

    def chosen(name):
        """Named in full, or by a part that is no full name of another."""
        return not a.cases or any(c == name or (c in name and c not in names) for c in a.cases)

    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    for group in groups:
        todo = [(n, f) for n, f in group if chosen(n)]
        if a.list:
            for n, _ in todo:
                print(n)
            continue
        with concurrent.futures.ThreadPoolExecutor(max(1, min(a.jobs, len(todo)))) as pool:
            jobs = [pool.submit(_run, n, f) for n, f in todo]
            for j in concurrent.futures.as_completed(jobs):
                verdict, name, note, seconds = j.result()
                counts[verdict] += 1
                print("%s %s%s (%.1f s)" % (verdict, name, " " + note if note else "", seconds),
                      flush=True)
    if a.list:
        return 0
    close_all()
    print("%d passed, %d failed, %d skipped" % (counts["ok"], counts["FAIL"], counts["skip"]))
    sys.stdout.flush()
    if counts["FAIL"]:
        return 1
    return 77 if counts["skip"] and not counts["ok"] else 0
