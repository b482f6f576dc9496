#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows with stock tailscaleds which auth keys let in and what the others are told; how a node's
key ends and how the node comes back: expiry, logout, a new key, delete, ephemeral; and that no
private key of a node and no auth key is in what the coordinator keeps or in what goes over the
wire."""

import base64
import json
import os
import re
import sqlite3
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from capture import Capture  # noqa: E402
from cases import check, main  # noqa: E402
from coord_world import World  # noqa: E402
from netns import wait_for  # noqa: E402


def keys_let_in_or_say_why_not():
    """Single-use, reusable, tagged, expired, ended, unknown."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        once, many = w.key(), w.key("--reusable")
        late, ended = w.key("--life", "1s"), w.key()
        w.coord("keys", "expire", str(max(k["id"] for k in w.coord("keys"))))
        a.up("--auth-key=" + once)
        time.sleep(1)
        for key, why in ((once, "it was used before"), (late, "it has expired"),
                         (ended, "it has expired"),
                         ("tskey-auth-" + "0" * 64, "unknown auth key")):
            b.up_fails(why, "--auth-key=" + key)
        check([n["name"] for n in w.coord("nodes")] == ["a"], w.coord("nodes"))
        b.up_fails("requested tags are invalid or not permitted", "--auth-key=" + many,
                   "--advertise-tags=tag:gw")
        # Others: what `up` of this one hears next may be the error of the attempt before.
        for name in ("c", "e"):
            w.stock(name).up("--auth-key=" + many)
        check({n["name"] for n in w.coord("nodes")} == {"a", "c", "e"}, w.coord("nodes"))
        uses = {k["reusable"]: k["uses"] for k in w.coord("keys") if k["uses"]}
        check(uses == {False: 1, True: 2}, uses)
        d = w.stock("d")
        d.up("--auth-key=" + w.key("--tags", "tag:gw"), "--advertise-tags=tag:gw")
        check(d.status()["Self"]["Tags"] == ["tag:gw"], d.status()["Self"])
        check(w.node("d")["expires"] is None, w.node("d"))
        a.wait_peer("d", Tags=["tag:gw"])


def a_key_expires_and_the_node_returns():
    """By another auth key, and by hand; number, name and addresses stay, the key is new."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        before = w.node("a")
        b.wait_peer("a", Online=True)
        w.coord("nodes", "expire", "a")
        a.wait_state("NeedsLogin", 5)
        b.wait_peer("a", 3, Expired=True)
        a.up("--auth-key=" + w.key(), "--force-reauth")
        after = w.node("a")
        for what in ("id", "name", "addresses", "user"):
            check(after[what] == before[what], "%s: %s, %s" % (what, before, after))
        check(after["node_key"] != before["node_key"], "the key is the old one")
        b.wait_peer("a", 5, Online=True, PublicKey=after["node_key"])
        check(b.pong("a"), "no pong with the new key")
        w.coord("nodes", "expire", "a")
        a.wait_state("NeedsLogin", 5)
        login, _, t0 = a.up_by_hand("ann", "--force-reauth")
        check(login.wait(10) == 0, login.log())
        took = time.monotonic() - t0
        check(w.node("a")["addresses"] == before["addresses"], w.node("a"))
        check(w.node("a")["node_key"] != after["node_key"], "the key is the old one")
        b.wait_peer("a", 5, Online=True)
        return "back %.2f s after it was admitted" % took


def a_key_is_renewed_in_time():
    """A new login while the key is good: the old key is nobody's afterwards."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        old = w.node("a")
        a.up("--auth-key=" + w.key(), "--force-reauth")
        new = w.node("a")
        check(new["id"] == old["id"] and new["node_key"] != old["node_key"], (old, new))
        check(len(w.coord("nodes")) == 2, w.coord("nodes"))
        b.wait_peer("a", 5, Online=True, PublicKey=new["node_key"])
        check(a.status()["Self"]["PublicKey"] == new["node_key"], a.status()["Self"])
        check(b.pong("a"), "no pong with the new key")


def logout_and_delete():
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        address = w.node("b")["addresses"]
        b.cli("logout")
        b.wait_state("NeedsLogin")
        a.wait_peer("b", 8, Expired=True)
        check(w.node("b")["expired"], w.node("b"))
        b.up("--auth-key=" + w.key())
        check(w.node("b")["addresses"] == address, w.node("b"))
        a.wait_peer("b", 5, Online=True)
        w.coord("nodes", "delete", "b")
        wait_for(lambda: not a.peers(), 3, "the peer to go")
        check(w.node("b") is None, w.node("b"))
        # Its key admits nobody any more; a new one does, as another node.
        b.up("--auth-key=" + w.key(), "--force-reauth")
        a.wait_peer("b", 5, Online=True)
        check(w.node("b")["id"] == 3, w.node("b"))
        check("it is in use" in w.cli("users", "delete", "ann", check=False).stdout, "ann went")


def ephemeral_nodes_go():
    """By logout at once; killed, when its time to come back is over."""
    with World() as w:
        a, b, c = w.stock("a"), w.stock("b"), w.stock("c")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key("--ephemeral"))
        c.up("--auth-key=" + w.key("--ephemeral"))
        a.wait_peer("b", Online=True)
        a.wait_peer("c", Online=True)
        b.cli("logout")
        wait_for(lambda: w.node("b") is None, 3, "the node that logged out to go")
        c.proc.kill()
        t0 = time.monotonic()
        wait_for(lambda: w.node("c") is None, 8, "the ephemeral node to go")
        took = time.monotonic() - t0
        wait_for(lambda: not a.peers(), 3, "the peers to go")
        return "gone %.1f s after it was killed" % took


def private_keys(state):
    """All of a stock node's, as bytes."""
    found = set()

    def search(value):
        if isinstance(value, dict):
            for v in value.values():
                search(v)
        elif isinstance(value, str):
            # Values are base64 of a key, of a profile in JSON, or of something else.
            try:
                text = base64.b64decode(value, validate=True).decode()
            except ValueError:
                text = ""
            for hex_key in re.findall(r"(?:privkey|nlpriv):([0-9a-f]{64,128})", value + " " + text):
                found.add(bytes.fromhex(hex_key))

    with open(os.path.join(state, "state")) as f:
        search(json.load(f))
    return {k for k in found if any(k)}


def no_private_key_leaves():
    """The store's files, its rows, the backup, all bytes on the wire."""
    with World() as w:
        seen = Capture(w.lab, w.ns, "lo", snap=65535)
        a, b = w.stock("a"), w.stock("b")
        auth = [w.key(), w.key()]
        a.up("--auth-key=" + auth[0])
        login, _, _ = b.up_by_hand("bob")
        check(login.wait(10) == 0, login.log())
        a.wait_peer("b", Online=True)
        check(a.pong("b"), "no pong")
        a.up("--auth-key=" + auth[1], "--force-reauth")
        w.coord("backup", w.lab.path("backup.db"))
        wire = b"".join(f for _, f in seen.stop())
        check(w.proc.stop() == 0, w.proc.log())
        keys = {}
        for s in (a, b):
            of_node = private_keys(s.state)
            # Its machine's, its node's, and the network lock's.
            check(len(of_node) >= 2, "%s has %d keys" % (s.name, len(of_node)))
            keys.update((k, s.name) for k in of_node)
        # What only the administrator was shown, without its prefix as bytes too.
        keys.update((k.encode(), "the auth keys") for k in auth)
        keys.update((bytes.fromhex(k.rsplit("-", 1)[1]), "the auth keys") for k in auth)
        places = {"the wire": wire, "the coordinator's log": w.proc.log().encode()}
        for name in os.listdir(w.state()) + ["../backup.db"]:
            with open(w.state(name), "rb") as f:
                places[name] = f.read()
        check(any(n.startswith("coord.db") for n in places) and len(wire) > 10000, list(places))
        with sqlite3.connect(w.state("coord.db")) as db:
            places["rows"] = "\n".join(db.iterdump()).encode()
        # The search finds what is there: the public keys, and the coordinator's own key.
        with open(w.state("coord.key")) as f:
            own = base64.b64decode(f.read())
        rows = places["rows"].lower()
        for n in (a, b):
            machine = bytes.fromhex(n.status()["Self"]["PublicKey"].split(":")[1])
            check(forms_in(machine, rows), "a public key is not found in the rows")
        check(len(own) == 32 and forms_in(own, places["coord.key"]), "the search finds nothing")
        for key, name in keys.items():
            for place, data in places.items():
                check(not forms_in(key, data.lower()) and not forms_in(key, data),
                      "a key of %s is in %s" % (name, place))
        return "%d keys, %d places, %d bytes on the wire" % (len(keys), len(places), len(wire))


def forms_in(key, data):
    """The key as bytes, in hexadecimal, in base64."""
    forms = (key, key.hex().encode(), base64.b64encode(key), base64.urlsafe_b64encode(key),
             base64.b64encode(key).rstrip(b"="))
    return any(f in data for f in forms)


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        keys_let_in_or_say_why_not, a_key_expires_and_the_node_returns, a_key_is_renewed_in_time,
        logout_and_delete, ephemeral_nodes_go, no_private_key_leaves)]], __doc__))
