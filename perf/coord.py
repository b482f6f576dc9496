#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""perf coord: causeway-coord under a crowd of nodes, all on this machine's cores.

The nodes are perf/coord/: tailscale.com's transport and messages, a register with an auth key,
a report and a stream each, over plain HTTP on the loopback of a namespace. Each scenario has a
coordinator with a fresh database, 20 users and a reusable key for each; node i is of user
i mod 20. CPU is what the coordinator's threads have run; the crowd shares the cores with it.

  join100, join650, join1000   that many come within 10, 20 and 30 s; then one endpoint
                               changes, 80 nodes change every 10 s, nothing happens; of 650 all
                               are cut and come back
  rules650                     join650 under 200 rules: each node sees about 40 % of the others
  offline650                   650 nodes are registered and away, and five join

first map: from the dial to the first message, read whole. quiet: from the last node's first map
to the last message after which 2 s were silent. A change and watcher: 20 changes of one
endpoint, one after the other, CPU and bytes by watcher; fan-out is from the report to the
message read, over all watchers."""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))

import netns  # noqa: E402
from netns import Lab, LabError, Skip, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402
from rows import machine, number, row, write  # noqa: E402

ADDRESS = "127.0.0.1:8080"
USERS, RULES = 20, 200
LOGIN = "user%d@perf.example"
# name -> (nodes, seconds, phases); those that begin with "rules" have rules
SCENARIOS = {
    "join100": (100, 10, ("join", "fanout", "churn")),
    "join650": (650, 20, ("join", "fanout", "churn", "idle", "rejoin")),
    "join1000": (1000, 30, ("join", "fanout")),
    "rules650": (650, 20, ("join", "fanout", "churn")),
    "offline650": (650, 0, ("offline",)),
}
# scenario, what the crowd calls it, and the most that it should be.
BARS = (("join650", "join.first_map_p99_ms", 150), ("join650", "join.quiet_s", 2),
        ("join650", "join.streams_ended", 0), ("join650", "rejoin.streams_ended", 0),
        ("join650", "idle.cpu_percent", 0.2), ("join650", "idle.rss_kib_node", 60),
        ("rules650", "join.first_map_p99_ms", 150), ("rules650", "join.quiet_s", 2),
        ("rules650", "fanout.cpu_us", 40), ("join100", "fanout.cpu_us", 40),
        ("join100", "fanout.wire_bytes", 160),
        ("join1000", "fanout.p99_ms", 100), ("join1000", "fanout.cpu_us", 40),
        ("join1000", "fanout.wire_bytes", 160), ("join1000", "join.streams_ended", 0),
        ("offline650", "offline.first_map_p99_ms", 50))
# Of what the crowd prints: figure -> (unit, better)
FIGURES = {
    "first_map_p50_ms": ("first map p50", "ms", "lower"),
    "first_map_p99_ms": ("first map p99", "ms", "lower"),
    "register_p50_ms": ("register p50", "ms", "lower"),
    "register_p99_ms": ("register p99", "ms", "lower"),
    "cpu_percent": ("CPU", "% of a core", "lower"),
    "cpu_ms_node": ("CPU until quiet", "ms/node", "lower"),
    "cpu_ms_join": ("CPU", "ms/join", "lower"),
    "messages": ("messages until quiet", "messages", "lower"),
    "quiet_s": ("quiet after the last join", "s", "lower"),
    "known": ("peers named", "peers/node", ""),
    "joined": ("joined", "nodes", ""),
    "streams_ended": ("streams ended by the server", "streams", "lower"),
    "rss_kib_node": ("resident", "KiB/node", "lower"),
    "peak_kib_node": ("resident at most", "KiB/node", "lower"),
    "register_all_s": ("registering all", "s", "lower"),
    "watchers": ("watchers", "nodes", ""),
    "seen": ("watchers that saw a change", "nodes", ""),
    "p50_ms": ("fan-out p50", "ms", "lower"),
    "p99_ms": ("fan-out p99", "ms", "lower"),
    "cpu_us": ("CPU a change and watcher", "us", "lower"),
    "bytes": ("message bytes a change and watcher", "bytes", "lower"),
    "wire_bytes": ("TCP bytes a change and watcher", "bytes", "lower"),
    "changes_s": ("changes", "changes/s", ""),
    "failed": ("requests failed", "requests", "lower"),
}


def rules():
    """20 groups of two users; a rule lets one of them to one of the three next at one port.
    Who may reach or be reached is seen: of 20 users the nodes of nine."""
    groups = {"group:g%d" % g: [LOGIN % g, LOGIN % ((g + 1) % USERS)]
              for g in range(USERS)}
    acls = [{"action": "accept", "src": ["group:g%d" % (i % USERS)],
             "dst": ["group:g%d:%d" % ((i % USERS + 1 + i // USERS % 3) % USERS, 1000 + i)]}
            for i in range(RULES)]
    return {"groups": groups, "acls": acls}


class World:
    """A coordinator with users and keys, alone in a namespace."""

    def __init__(self, lab, has_rules):
        self.lab, self.ns = lab, lab.ns("w")
        self.socket = lab.path("coord.sock")
        # {}: everybody may reach everybody. Without a policy nobody may.
        with open(lab.path("policy.hujson"), "w") as f:
            json.dump(rules() if has_rules else {}, f)
        self.proc = self.ns.start("coord", [
            Causeway.program("causeway-coord"), "serve", "--listen", ADDRESS, "--url",
            "http://" + ADDRESS, "--state", os.path.join(lab.dir, "coord"), "--socket",
            self.socket, "--policy", lab.path("policy.hujson"), "--log-level", "warn"])
        wait_for(lambda: os.path.exists(self.socket) and ":8080" in self.ns.sh("ss", "-ltn").stdout,
                 15, "the coordinator")
        self.keys = []
        for u in range(USERS):
            self.coord("users", "create", LOGIN % u)
            self.keys.append(self.coord("keys", "create", "--user", LOGIN % u,
                                        "--reusable")["key"])

    def coord(self, *words):
        text = self.ns.sh(Causeway.program("causeway"), "coord", "--socket", self.socket, "--json",
                          *words).stdout
        return json.loads(text) if text.strip() else None

    def refused(self):
        """What the coordinator says of those that it sent away."""
        text = self.ns.sh("curl", "-sf", "--unix-socket", self.socket, "http://x/metrics").stdout
        return [line for line in text.splitlines() if "refused" in line and
                not line.endswith(" 0")]

    def pid(self):
        """Of the coordinator itself: `ip netns exec` has become it."""
        return self.proc.pid


def measure(name, changes):
    nodes, seconds, phases = SCENARIOS[name]
    with Lab(name="perf coord " + name) as lab:
        w = World(lab, name.startswith("rules"))
        p = w.ns.sh(foreign("coordload"), "-server", ADDRESS, "-pid", w.pid(), "-nodes", nodes,
                    "-keys", ",".join(w.keys), "-within", "%ds" % seconds, "-changes", changes,
                    *phases, check=False, timeout=420)
        lines = p.stdout.strip().splitlines()
        if p.returncode or not lines:
            raise LabError("%s: the crowd ended with %d: %s" % (name, p.returncode, p.stdout))
        if not w.proc.running():
            raise LabError("%s: the coordinator ended\n%s" % (name, w.proc.tail()))
        got = json.loads(lines[-1])
        if got["all.failed"]:
            lines[-1:] = w.refused()
            for line in lines:
                print("perf coord: %s: %s" % (name, line), file=sys.stderr)
        return got


def rows_of(got, cpu):
    rows = []
    for name, rounds in got.items():
        order = SCENARIOS[name][2] + ("all",)
        keys = dict.fromkeys(k for r in rounds if r for k in r)
        for key in sorted(keys, key=lambda k: order.index(k.split(".")[0])):
            phase, member = key.split(".")
            figure, unit, better = FIGURES[member]
            rows.append(row("coord-" + phase, figure, unit, [r and r.get(key) for r in rounds],
                            better, params={"scenario": name, "nodes": SCENARIOS[name][0]},
                            cpu=cpu))
    return [r for r in rows if r]


def bar_of(r):
    """What stands beside a row that has a bar: `ok`, or by how much it is missed."""
    for scenario, key, most in BARS:
        phase, member = key.split(".")
        if (scenario, "coord-" + phase, FIGURES[member][0]) == (
                r["params"]["scenario"], r["bench"], r["figure"]):
            return "  bar %g: %s" % (most, "ok" if r["median"] <= most else "MISSED")
    return ""


def table(rows, cpu):
    print("%s; medians (least..largest round)" % cpu)
    for r in rows:
        print("%-11s %-8s %-36s %9s %-11s (%s..%s)%s" % (
            r["params"]["scenario"], r["bench"][6:], r["figure"], number(r["median"]), r["unit"],
            number(r["min"]), number(r["max"]), bar_of(r)))


def main():
    ap = argparse.ArgumentParser(prog="perf coord", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", metavar="FILE")
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--changes", type=int, default=20, help="of one endpoint, for the fan-out")
    ap.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only these")
    a = ap.parse_args()
    netns.catch_signals()
    got = {}
    try:
        # The crowd is built from source beside this file.
        subprocess.run(["sh", os.path.join(ROOT, "tests", "interop", "build.sh"), "coordload"],
                       stdout=sys.stderr)
        foreign("coordload")
        for i in range(a.runs):
            for name in a.scenario or SCENARIOS:
                try:
                    v = measure(name, a.changes)
                except LabError as e:
                    print("perf coord: round %d of %s: %s" % (i + 1, name, e), file=sys.stderr)
                    continue
                got.setdefault(name, [None] * a.runs)[i] = v
            print("perf coord: round %d of %d done" % (i + 1, a.runs), file=sys.stderr)
    except Skip as e:
        print("perf coord: missing: %s" % e, file=sys.stderr)
        return 77
    cpu = machine()
    rows = rows_of(got, cpu)
    table(rows, cpu)
    if a.json:
        write(a.json, rows)
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
