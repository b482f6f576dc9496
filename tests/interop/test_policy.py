#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that stock tailscaleds on causeway-coord may do what the policy lets them, and nothing
else: new flows are taken away and given back within a second, peers come and go with the rules,
subnet routes are approved and used, tags and groups count at once; a bad policy changes nothing."""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from coord_world import URL, World  # noqa: E402
from netns import wait_for  # noqa: E402
from nodes import foreign  # noqa: E402

PORT = "9000"


def policy(*grants, **more):
    """One with the users of World as ann@ and bob@, and two tags that ann owns."""
    return json.dumps(dict({"tagOwners": {"tag:gw": ["ann@"], "tag:db": ["ann@"]},
                            "grants": [{"src": s, "dst": d, "ip": i} for s, d, i in grants]},
                           **more))


ALL = (["*"], ["*"], ["*"])


class Mesh(World):
    """Two stock nodes with tunnels, a of ann and b of bob; b serves a port."""

    def __init__(self, text, *options, up_b=()):
        super().__init__(policy=text)
        try:
            self.a = self.join("a", "ann")
            self.b = self.join("b", "bob", *up_b)
            self.serve(self.b)
        except BaseException:
            self.lab.close()
            raise

    def join(self, name, user, *options, tags=None):
        ns = self.site(name)
        node = self.stock(name, ns=ns, tun=True)
        key = self.coord("keys", "create", "--user", user, *(["--tags", tags] if tags else []))
        node.up("--auth-key=" + key["key"], *options)
        return node

    def serve(self, node, port=PORT):
        node.ns.start("serve-%s-%s" % (node.name, port), [
            "socat", "-d", "TCP6-LISTEN:%s,fork,reuseaddr,ipv6-v6only=0" % port,
            "SYSTEM:echo hello"])
        wait_for(lambda: ":" + port in node.ns.sh("ss", "-ltn").stdout, 10, "the server")

    def set(self, text, check=True):
        path = self.lab.path("set.hujson")
        with open(path, "w") as f:
            f.write(text)
        return self.cli("policy", "set", path, check=check)

    def address(self, name, family=0):
        return self.node(name)["addresses"][family]

    def reaches(self, node, address, port=PORT, seconds=0.3):
        """One new connection, and what it brings."""
        r = node.ns.sh("timeout", str(seconds), "socat", "-u", "-T1",
                       "TCP:%s:%s,connect-timeout=%s" % (
                           "[%s]" % address if ":" in address else address, port, seconds),
                       "-", check=False)
        return "hello" in r.stdout

    def until(self, node, address, want, what, seconds=5, port=PORT):
        t0, patience = time.monotonic(), 0.3
        # Short tries measure; a machine under load needs longer ones to get through at all.
        while self.reaches(node, address, port, seconds=patience) != want:
            check(time.monotonic() - t0 < seconds, "%s: not after %s s" % (what, seconds))
            patience = min(patience + 0.1, 1.5)
        return time.monotonic() - t0


def names(node):
    return sorted(node.peers())


def without_a_policy_nothing_passes():
    with Mesh(None) as w:
        check(names(w.a) == [] and names(w.b) == [], "peers without a policy")
        check(not w.reaches(w.a, w.address("b")), "a flow without a policy")
        w.set(policy(ALL))
        took = w.until(w.a, w.address("b"), True, "open")
        check(names(w.a) == ["b"], names(w.a))
        return "open after %.2f s" % took


def a_flow_is_taken_away_and_given_back():
    port = (["ann@"], ["bob@"], ["tcp:" + PORT])
    other = (["ann@"], ["bob@"], ["tcp:1"])
    with Mesh(policy(port)) as w:
        b4, b6 = w.address("b"), w.address("b", 1)
        w.until(w.a, b4, True, "at first")
        w.until(w.a, b6, True, "at first, IPv6")
        check(not w.reaches(w.b, w.address("a")), "bob may not reach ann")
        worst = 0
        for _ in range(3):
            w.set(policy(other))
            away = w.until(w.a, b4, False, "taken away")
            check(not w.reaches(w.a, b6), "IPv6 still passes")
            # They see each other still, by the other port.
            check(names(w.a) == ["b"], names(w.a))
            w.set(policy(port))
            back = w.until(w.a, b4, True, "given back")
            worst = max(worst, away, back)
        # Without any rule between them they do not even see each other.
        w.set(policy((["ann@"], ["ann@"], ["*"])))
        wait_for(lambda: names(w.a) == [] and names(w.b) == [], 2, "the peers to go")
        w.set(policy(port))
        wait_for(lambda: names(w.a) == ["b"] and names(w.b) == ["a"], 2, "the peers to come")
        w.until(w.a, b4, True, "given back after all")
        check(worst < 1, "%.2f s" % worst)
        return "worst %.2f s" % worst


def a_route_is_approved_by_the_policy_and_used():
    grants = [(["ann@"], ["10.77.0.0/24"], ["tcp:" + PORT])]
    approve = {"autoApprovers": {"routes": {"10.77.0.0/16": ["tag:gw"]}}}
    with Mesh(policy(*grants, **approve)) as w:
        gw = w.join("gw", "ann", "--advertise-routes=10.77.0.0/24,10.88.0.0/24", tags="tag:gw")
        gw.ns.sysctl("net.ipv4.ip_forward", 1)
        host = w.lab.ns("host")
        w.lab.veth(gw.ns, "h0", host, "e0")
        gw.ns.ip("addr add 10.77.0.1/24 dev h0")
        host.ip("addr add 10.77.0.2/24 dev e0", "route add default via 10.77.0.1")
        host.start("serve", ["socat", "-d", "TCP-LISTEN:%s,fork,reuseaddr" % PORT,
                             "SYSTEM:echo hello"])
        w.a.cli("set", "--accept-routes")
        # Approved by itself, the other is not.
        w.a.wait_peer("gw", 3, PrimaryRoutes=["10.77.0.0/24"])
        waits = [r for r in w.coord("routes") if r["prefix"] == "10.88.0.0/24"]
        check(waits and not waits[0]["approved"], waits)
        check([r["actor"] for r in w.coord("audit") if r["action"] == "route.approve"] ==
              ["policy"], w.coord("audit"))
        w.until(w.a, "10.77.0.2", True, "behind the gateway")
        # bob is let to nothing there: neither the route nor the router.
        check(names(w.b) == [], names(w.b))
        # An administrator takes it away: a policy that says the same does not give it back.
        w.coord("routes", "withdraw", "gw", "10.77.0.0/24")
        w.until(w.a, "10.77.0.2", False, "withdrawn")
        w.set(policy(*grants, **dict(approve, groups={"group:x": ["bob@"]})))
        time.sleep(0.3)
        check(not w.reaches(w.a, "10.77.0.2"), "it came back by itself")
        w.coord("routes", "approve", "gw", "10.77.0.0/24")
        w.until(w.a, "10.77.0.2", True, "approved again")
        # A policy that approves what waits.
        w.set(policy(*grants, autoApprovers={"routes": {"10.0.0.0/8": ["tag:gw"]}}))
        wait_for(lambda: [r for r in w.coord("routes") if r["prefix"] == "10.88.0.0/24" and
                          r["approved"]], 2, "the waiting route")
        # Nobody may reach that one, so nobody is shown it.
        check(w.a.peers()["gw"]["PrimaryRoutes"] == ["10.77.0.0/24"], w.a.peers())


def tags_and_groups_count_at_once():
    text = policy((["tag:gw"], ["bob@"], ["tcp:" + PORT]), (["group:ops"], ["bob@"], ["tcp:1"]),
                  groups={"group:ops": []})
    with Mesh(text) as w:
        b4 = w.address("b")
        check(names(w.a) == [], names(w.a))
        w.coord("nodes", "tag", "a", "tag:gw")
        took = w.until(w.a, b4, True, "tagged")
        w.coord("nodes", "tag", "a", "tag:db")
        w.until(w.a, b4, False, "tagged otherwise")
        wait_for(lambda: names(w.b) == [], 2, "the peer to go")
        # A group edit: who is in it reaches what it may.
        c = w.join("c", "ann")
        check(names(c) == [], names(c))
        w.set(policy((["group:ops"], ["bob@"], ["tcp:" + PORT]), groups={"group:ops": ["ann@"]}))
        edit = w.until(c, b4, True, "in the group")
        w.set(policy((["group:ops"], ["bob@"], ["tcp:" + PORT]), groups={"group:ops": ["bob@"]}))
        w.until(c, b4, False, "out of the group")
        check(max(took, edit) < 1, "%.2f %.2f" % (took, edit))
        return "tag %.2f s, group %.2f s" % (took, edit)


def tags_are_for_those_who_own_them():
    with World(policy=policy(ALL)) as w:
        a, b, c = w.stock("a"), w.stock("b"), w.stock("c")
        a.up("--auth-key=" + w.key(), "--advertise-tags=tag:gw,tag:db")
        check(w.node("a")["tags"] == ["tag:gw", "tag:db"], w.node("a"))
        key = w.coord("keys", "create", "--user", "bob", "--reusable")["key"]
        words = ("up", "--login-server=" + URL, "--timeout=10s", "--auth-key=" + key)
        r = b.cli(*words, "--advertise-tags=tag:gw", check=False, timeout=20)
        check("requested tags" in r.stdout and "not permitted" in r.stdout, r)
        r = b.cli(*words, "--advertise-tags=tag:none", check=False, timeout=20)
        check("requested tags" in r.stdout, r)
        check(w.node("b") is None, w.node("b"))
        # By hand: only as somebody who owns them.
        login = w.ns.start("up-c", [
            foreign("tailscale"), "--socket=" + c.sock, "up", "--login-server=" + URL, "--hostname=c", "--timeout=20s",
            "--accept-dns=false", "--advertise-tags=tag:db"])
        token = wait_for(lambda: next((r["token"] for r in w.coord("logins")), None), 10,
                         "a login that waits")
        r = w.cli("nodes", "register", "--user", "bob", token, check=False)
        check("an owner of the tags" in r.stdout, r)
        w.coord("nodes", "register", "--user", "ann", token)
        check(login.wait(15) == 0, login.log())
        check(w.node("c")["tags"] == ["tag:db"], w.node("c"))


def a_bad_policy_changes_nothing():
    good = policy(ALL, nodeAttrs=[{"target": ["bob@"], "attr": ["custom:shown"]}])
    with Mesh(good) as w:
        b4 = w.address("b")
        w.until(w.a, b4, True, "at first")
        before = w.coord("policy", "get")
        check(before["text"] == good, before)
        path = w.lab.path("bad.hujson")
        for bad, said in (
                ('{\n  "grants": [{"src": ["tag:nobody"], "dst": ["*"], "ip": ["*"]}]}',
                 path + ":2:23: "),
                ('{"acls": [', path + ":1:11: "),
                (policy((["ann@"], ["bob@"], ["tcp:1"]), tests=[
                    {"src": "ann@", "accept": ["bob@:9000"]}]), "expected accept")):
            with open(path, "w") as f:
                f.write(bad)
            r = w.cli("policy", "set", path, check=False)
            check(r.returncode == 1 and said in r.stdout, r)
        check(w.coord("policy", "get") == before, "the policy is another")
        w.until(w.a, b4, True, "as before")
        # A test that holds; then what was set is what is read, and who set it is known.
        tested = policy(ALL, tests=[{"src": "ann@", "accept": ["bob@:9000"]}])
        with open(path, "w") as f:
            f.write(tested)
        r = w.cli("policy", "set", "--dry-run", path)
        check("not set" in r.stdout and w.coord("policy", "get") == before, r)
        w.cli("policy", "set", path)
        check(w.coord("policy", "get")["text"] == tested, w.coord("policy", "get"))
        line = next(r for r in w.coord("audit") if r["action"] == "doc.set")
        check(line["actor"] == "uid:0" and "name=policy sha256=" in line["subject"], line)
        # The file of the start is the one that was loaded before: what was set stays.
        w.kill_coord()
        w.start_coord()
        check(w.coord("policy", "get")["text"] == tested, w.coord("policy", "get"))


def attributes_and_exit_nodes_are_told():
    grants = [(["ann@"], ["autogroup:internet"], ["*"])]
    with Mesh(policy(*grants, nodeAttrs=[{"target": ["ann@"], "attr": ["custom:shown"]}])) as w:
        check("custom:shown" in w.a.status()["Self"]["CapMap"], w.a.status()["Self"])
        check("custom:shown" not in (w.b.status()["Self"].get("CapMap") or {}), "b has it too")
        w.b.cli("set", "--advertise-exit-node")
        wait_for(lambda: [r for r in w.coord("routes") if r["prefix"] == "0.0.0.0/0"], 5,
                 "the exit route")
        check(names(w.a) == [], names(w.a))
        for prefix in ("0.0.0.0/0", "::/0"):
            w.coord("routes", "approve", "b", prefix)
        w.a.wait_peer("b", 3, ExitNodeOption=True)
        peer = w.a.peers()["b"]
        check("suggest-exit-node" in (peer.get("CapMap") or {}), peer)
        w.set(policy(*grants, nodeAttrs=[{"target": ["bob@"], "attr": ["disable-ipv4"]}]))
        wait_for(lambda: "custom:shown" not in (w.a.status()["Self"].get("CapMap") or {}), 2,
                 "the attribute to go")
        wait_for(lambda: all(":" in ip for ip in w.a.peers()["b"]["TailscaleIPs"]), 2,
                 "IPv4 to go")


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        without_a_policy_nothing_passes, a_flow_is_taken_away_and_given_back,
        a_route_is_approved_by_the_policy_and_used, tags_and_groups_count_at_once,
        tags_are_for_those_who_own_them, a_bad_policy_changes_nothing,
        attributes_and_exit_nodes_are_told)]], __doc__))
