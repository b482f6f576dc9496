#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that stock tailscaleds, and our own control side, join causeway-coord: with a key and
by hand; that they see each other by name and reach each other; what changes in the mesh while
they watch; keys that expire, logout, delete, ephemeral nodes; a coordinator that is killed."""

import json
import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, helper, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

# Private: over plain http on a public one stock nodes insist on port 443.
IP = "10.254.1.1"
URL = "http://%s:8080" % IP
DERP_MAP = {"Regions": {"1": {"RegionID": 1, "RegionCode": "test", "RegionName": "test", "Nodes": [
    {"Name": "1a", "RegionID": 1, "HostName": IP, "IPv4": IP, "IPv6": "none", "DERPPort": 3443,
     "STUNPort": 3478, "STUNTestIP": IP, "InsecureForTests": True}]}}}


class World:
    """One namespace with causeway-coord in it; nodes run in userspace beside it."""

    def __init__(self):
        self.lab = Lab(name="coord")
        try:
            self.ns = self.lab.ns("w")
            # Stock nodes send nothing while only the loopback is up.
            self.ns.ip("link add d0 type veth peer name d1", "addr add %s/24 dev d0" % IP,
                       "link set d0 up", "link set d1 up")
            self.socket = self.lab.path("coord.sock")
            self.starts = 0
            # Of the module's test server its relay: a stock node runs only with a relay.
            self.ns.start("relay", [foreign("control"), "-ip", IP, "-port", "8081"])
            wait_for(lambda: ":3443" in self.ns.sh("ss", "-ltn").stdout, 15, "the relay")
            with open(self.lab.path("derp.json"), "w") as f:
                json.dump(DERP_MAP, f)
            self.start_coord()
            self.coord("users", "create", "ann")
            self.coord("users", "create", "bob")
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def start_coord(self):
        self.starts += 1
        self.proc = self.ns.start("coord%d" % self.starts, [
            Causeway.program("causeway-coord"), "serve", "--listen", "%s:8080" % IP, "--url", URL,
            "--state", os.path.join(self.lab.dir, "coord"), "--socket", self.socket,
            "--derp-map", self.lab.path("derp.json")])
        wait_for(lambda: ":8080" in self.ns.sh("ss", "-ltn").stdout, 15, "the coordinator")

    def coord(self, *words):
        """What `causeway coord ... --json` prints, as a value."""
        return json.loads(self.ns.sh(Causeway.program("causeway"), "coord", "--socket",
                                     self.socket, "--json", *words).stdout)

    def key(self, *options):
        return self.coord("keys", "create", "--user", "ann", *options)["key"]

    def node(self, name):
        return next((n for n in self.coord("nodes", "list") if n["name"] == name), None)

    def stock(self, name):
        return Stock(self, name)


class Stock:
    """A tailscaled; nothing of it leaves the namespace."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.state = os.path.join(world.lab.dir, "stock-" + name)
        os.mkdir(self.state, 0o700)
        self.sock = os.path.join(self.state, "sock")
        self.proc = world.ns.start("tailscaled-" + name, [
            foreign("tailscaled"), "--statedir=" + self.state, "--state=" + self.state + "/state",
            "--socket=" + self.sock, "--tun=userspace-networking", "--port=0"],
            env={"TS_NO_LOGS_NO_SUPPORT": "true"})
        wait_for(lambda: os.path.exists(self.sock), 15, "tailscaled's socket")

    def cli(self, *words, **how):
        return self.world.ns.sh(foreign("tailscale"), "--socket=" + self.sock, *words, **how)

    def up(self, *options):
        t0 = time.monotonic()
        self.cli("up", "--login-server=" + URL, "--hostname=" + self.name, "--timeout=20s",
                 "--accept-dns=false", *options, timeout=30)
        return time.monotonic() - t0

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def peers(self):
        """Name -> what status says of it."""
        return {p["DNSName"].split(".")[0]: p for p in (self.status()["Peer"] or {}).values()}

    def wait_peer(self, name, seconds=5, **want):
        def right():
            p = self.peers().get(name)
            return p if p and all(p.get(k) == v for k, v in want.items()) else None
        return wait_for(right, seconds, "%s: peer %s with %s" % (self.name, name, want))


def two_join_by_key_and_by_hand():
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        up = a.up("--auth-key=" + w.key())
        check(a.status()["Self"]["DNSName"] == "a.mesh.internal.", a.status()["Self"])
        login = w.ns.start("up-b", [
            foreign("tailscale"), "--socket=" + b.sock, "up", "--login-server=" + URL,
            "--hostname=b", "--timeout=20s", "--accept-dns=false"])
        token = wait_for(lambda: next((r["token"] for r in w.coord("logins")), None), 10,
                         "a login that waits")
        wait_for(lambda: token in login.log() or token in login.output(), 5, "the URL")
        page = w.ns.sh("curl", "-sf", "%s/register/%s" % (URL, token)).stdout
        check("nodes register --user NAME " + token in page, page)
        t0 = time.monotonic()
        w.coord("nodes", "register", "--user", "bob", token)
        a.wait_peer("b", Online=True)
        seen = time.monotonic() - t0
        check(login.wait(10) == 0, login.log())
        check(seen < 1, "seen after %.1f s" % seen)
        check(w.coord("logins") == [], "the login still waits")
        b.wait_peer("a", Online=True)
        check(b.status()["User"][str(b.status()["Self"]["UserID"])]["LoginName"] == "bob",
              b.status()["User"])
        out = a.cli("ping", "--timeout=5s", "--c=5", "b", timeout=20).stdout
        check("pong from b" in out, out)
        addr = w.node("b")["addresses"]
        check(b.status()["Self"]["TailscaleIPs"] == addr, addr)
        return "up %.2f s, seen %.2f s" % (up, seen)


def changes_reach_who_watches():
    """Rename, route, tag, delete; each by its own words."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key(), "--advertise-routes=10.9.0.0/16")
        a.wait_peer("b", Online=True)
        wait_for(lambda: [r for r in w.coord("routes") if r["prefix"] == "10.9.0.0/16"], 5,
                 "the route")
        w.coord("routes", "approve", "b", "10.9.0.0/16")
        a.wait_peer("b", 2, PrimaryRoutes=["10.9.0.0/16"])
        w.coord("routes", "withdraw", "b", "10.9.0.0/16")
        a.wait_peer("b", 2, PrimaryRoutes=None)
        w.coord("nodes", "rename", "b", "other")
        a.wait_peer("other", 2)
        w.coord("nodes", "tag", "other", "tag:gw")
        a.wait_peer("other", 2, Tags=["tag:gw"])
        w.coord("nodes", "delete", "other")
        wait_for(lambda: not a.peers(), 3, "the peer to go")


def routes_fail_over():
    """Of two gateways to a network the second carries it soon after the first is gone."""
    with World() as w:
        a, b, c = w.stock("a"), w.stock("b"), w.stock("c")
        a.up("--auth-key=" + w.key())
        for gw in (b, c):
            gw.up("--auth-key=" + w.key(), "--advertise-routes=10.9.0.0/16")
            wait_for(lambda: any(r["node"] == gw.name for r in w.coord("routes")), 5, "the route")
            w.coord("routes", "approve", gw.name, "10.9.0.0/16")
        a.wait_peer("b", 2, PrimaryRoutes=["10.9.0.0/16"])
        check(a.peers()["c"].get("PrimaryRoutes") is None, a.peers())
        b.proc.kill()
        t0 = time.monotonic()
        a.wait_peer("c", 6, PrimaryRoutes=["10.9.0.0/16"])
        took = time.monotonic() - t0
        check(took < 5.5, "moved after %.1f s" % took)
        check(a.peers()["b"]["Online"] is False, a.peers())
        return "moved after %.1f s" % took


def keys_end():
    """A used key, an expired node, a new login of it, a logout, an ephemeral node."""
    with World() as w:
        a, b, late = w.stock("a"), w.stock("b"), w.stock("late")
        once = w.key()
        a.up("--auth-key=" + once)
        refused = late.cli("up", "--login-server=" + URL, "--timeout=10s", "--auth-key=" + once,
                        "--accept-dns=false", check=False, timeout=20)
        check("it was used before" in refused.stdout, refused)
        b.up("--auth-key=" + w.key("--ephemeral"))
        address = w.node("a")["addresses"]
        w.coord("nodes", "expire", "a")
        wait_for(lambda: a.status()["BackendState"] == "NeedsLogin", 5, "the expiry")
        a.up("--auth-key=" + w.key(), "--force-reauth")
        check(w.node("a")["addresses"] == address, w.node("a"))
        a.wait_peer("b", 5, Online=True)
        b.cli("logout")
        wait_for(lambda: w.node("b") is None, 8, "the ephemeral node to go")
        wait_for(lambda: not a.peers(), 3, "the peer to go")


def the_coordinator_is_killed():
    """Its return changes nothing: the same server key, nodes and addresses."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        a.wait_peer("b", Online=True)
        # Their home relays are known, or they could not meet without the coordinator.
        wait_for(lambda: all(n["home_derp"] for n in w.coord("nodes")), 10, "home relays")
        check("pong" in a.cli("ping", "--timeout=5s", "--c=3", "b", timeout=20).stdout, "no pong")
        before = [(n["id"], n["name"], n["addresses"]) for n in w.coord("nodes")]
        os.kill(w.proc.pid, signal.SIGKILL)
        w.proc.wait(5)
        check("pong" in a.cli("ping", "--timeout=3s", "--c=3", "b", timeout=15).stdout, "no pong")
        w.start_coord()
        check([(n["id"], n["name"], n["addresses"]) for n in w.coord("nodes")] == before, before)
        t0 = time.monotonic()
        wait_for(lambda: all(n["online"] for n in w.coord("nodes")), 25, "both to return")
        return "back after %.0f s" % (time.monotonic() - t0)


def ours_joins():
    """Our control side and a stock node on our coordinator."""
    with World() as w:
        a = w.stock("a")
        a.up("--auth-key=" + w.key())
        state = os.path.join(w.lab.dir, "ours")
        os.mkdir(state, 0o700)
        ours = w.ns.start("ours", [
            helper("mesh_join"), "--url", URL, "--state", state, "--hostname", "ours",
            "--auth-key", w.key(), "--endpoint", "192.0.2.1:7"],
            stdout=w.lab.path("ours.out"))
        a.wait_peer("ours", 5, Online=True)
        wait_for(lambda: re.search(r"^map self=ours .*peers=1 .*names=a\b", ours.output(), re.M),
                 5, "our map")
        check(ours.stop() == 0, ours.log())


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        two_join_by_key_and_by_hand, changes_reach_who_watches, routes_fail_over,
        keys_end,
        the_coordinator_is_killed, ours_joins)]], __doc__))
