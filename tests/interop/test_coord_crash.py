#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that what causeway-coord has acknowledged outlives kill -9, and that nothing is there by
half: twenty times it is killed in the midst of a thousand registrations over the real transport,
while documents, users and single-use keys are written and used."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from coord_world import URL, World  # noqa: E402
from netns import LabError, helper, wait_for  # noqa: E402

ROUNDS = 20
MACHINES = 1000

# Each names what must not be; the answer is how often it is.
HALVES = {
    "a node without the route that it came with":
        "SELECT count(*) FROM nodes WHERE id NOT IN (SELECT node_id FROM routes)",
    "a route without its node":
        "SELECT count(*) FROM routes WHERE node_id NOT IN (SELECT id FROM nodes)",
    "a key whose uses are not its nodes":
        "SELECT count(*) FROM keys WHERE uses != "
        "(SELECT count(*) FROM nodes WHERE key_id = keys.id)",
    "a node too many or too few in the audit":
        "SELECT abs((SELECT count(*) FROM nodes) - "
        "(SELECT count(*) FROM audit WHERE action = 'node.register'))",
    "a document too many or too few in the audit":
        "SELECT abs((SELECT count(*) FROM docs) - "
        "(SELECT count(*) FROM audit WHERE action = 'doc.set'))",
    "a user too many or too few in the audit":
        "SELECT abs((SELECT count(*) FROM users) - "
        "(SELECT count(*) FROM audit WHERE action = 'user.create'))",
    "a node that the change feed does not name":
        "SELECT count(*) FROM nodes WHERE id NOT IN (SELECT row FROM changes WHERE tbl = 2) "
        "AND id > (SELECT coalesce(min(row), 0) FROM changes WHERE tbl = 2)",
}


class Writer(threading.Thread):
    """Writes one thing after the other until the coordinator is gone."""

    def __init__(self, world, turn):
        super().__init__(daemon=True)
        self.world, self.turn = world, turn
        self.begun, self.acknowledged = 0, {"dns": 0, "policy": 0}
        self.names, self.joined = [], []
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                self.documents()
                self.user()
                self.single_use()
        except (LabError, ValueError, subprocess.TimeoutExpired):
            pass  # it is gone

    def version(self, n):
        return "v%d.r%d.test" % (n, self.turn)

    def documents(self):
        """DNS and the policy, both with a number that the next ones are known by."""
        self.begun += 1
        path = self.world.lab.path("document.hujson")
        with open(path, "w") as f:
            json.dump({"extra_records": [{"name": self.version(self.begun),
                                          "value": "10.0.0.1"}]}, f)
        self.world.coord("dns", "set", path)
        self.acknowledged["dns"] = self.begun
        with open(path, "w") as f:
            f.write('{"acls": [], // %s\n}' % self.version(self.begun))
        self.world.coord("policy", "set", path)
        self.acknowledged["policy"] = self.begun

    def user(self):
        name = "user-%d-%d" % (self.turn, self.begun)
        self.world.coord("users", "create", name)
        self.names.append(name)

    def single_use(self):
        out = self.world.ns.sh(helper("coord_join"), "--url", URL, "--auth-key",
                               self.world.key(), "--count", "1", "--name",
                               "once-%d-%d-" % (self.turn, self.begun)).stdout
        self.joined += keys_in(out)


def keys_in(text):
    """Node keys of the whole lines that say that a machine is in."""
    return [x.split()[1] for x in text.split("\n")[:-1] if x.startswith("in ")]


def one_round(w, key, turn, in_store):
    out = w.lab.path("join-%d.out" % turn)
    writer = Writer(w, turn)
    target = random.randint(MACHINES // 20, MACHINES * 9 // 10)
    join = w.ns.start("join-%d" % turn, [
        helper("coord_join"), "--url", URL, "--auth-key", key, "--count", MACHINES, "--name",
        "r%d-" % turn], stdout=out)
    writer.start()
    wait_for(lambda: join.output().count("\n") >= target, 60, "%d machines" % target)
    w.kill_coord()
    check(join.running() or join.output().count("\n") < MACHINES, "all were in before the end")
    writer.over.set()
    join.wait(30)
    writer.join(30)
    said = join.output()
    # By the coordinator; that nobody listens any more is no such word.
    refused = [x for x in said.split("\n") if x.startswith("refused")]
    check(not refused, refused[:3])
    told = keys_in(said) + writer.joined
    w.start_coord()
    there = {n["node_key"].split(":")[1] for n in w.coord("nodes")}
    lost = [k for k in told if k not in there]
    check(not lost, "%d machines of %d are lost" % (len(lost), len(told)))
    check(in_store <= there, "nodes of an earlier round are lost")
    users = {u["name"] for u in w.coord("users")}
    check(set(writer.names) <= users, "users are lost")
    for what, least in writer.acknowledged.items():
        text = w.coord(what, "get" if what == "policy" else "show")["text"] or ""
        # The last that was acknowledged, or the one that was on its way.
        check(not least or any(writer.version(v) in text for v in (least, writer.begun)),
              "%s is %s, not of %d or %d" % (what, text, least, writer.begun))
    whole(w, turn, len(there))
    return len(told), there


def whole(w, turn, count):
    copy = w.lab.path("copy-%d.db" % turn)
    w.coord("backup", copy)
    with sqlite3.connect(copy) as db:
        check(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "not intact")
        check(not db.execute("PRAGMA foreign_key_check").fetchall(), "foreign keys")
        for what, query in HALVES.items():
            n = db.execute(query).fetchone()[0]
            check(n == 0, "%s: %d" % (what, n))
        rows = db.execute("SELECT count(*) FROM nodes").fetchone()[0]
        check(rows == count, "%d rows, %d nodes in the list" % (rows, count))
    os.unlink(copy)


def killed_amid_registrations():
    with World(relay=False, policy=None) as w:
        seed = random.randrange(1 << 32)
        random.seed(seed)
        try:
            key, there, told = w.key("--reusable", "--life", "1h"), set(), 0
            t0 = time.monotonic()
            for turn in range(ROUNDS):
                n, there = one_round(w, key, turn, there)
                told += n
        except Exception as e:
            raise type(e)("round %d, seed %d: %s" % (turn, seed, e)) from e
        unsaid = len(there) - told
        check(told > ROUNDS * MACHINES // 20, "only %d machines came in" % told)
        return "%d kills, %d machines told in, %d in and not told, %.0f s" % (
            ROUNDS, told, unsaid, time.monotonic() - t0)


if __name__ == "__main__":
    sys.exit(main([[("killed-amid-registrations", killed_amid_registrations)]], __doc__))
