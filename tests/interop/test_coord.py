#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that stock tailscaleds, and our own control side, join causeway-coord: with a key and
by hand; that they see each other by name and reach each other; what changes in the mesh while
they watch; keys that expire, logout, delete, ephemeral nodes; a coordinator that is killed."""

import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from coord_world import IP, TLS_URL, URL, World, certificate  # noqa: E402
from netns import helper, wait_for  # noqa: E402


def two_join_by_key_and_by_hand():
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        up = a.up("--auth-key=" + w.key())
        check(a.status()["Self"]["DNSName"] == "a.mesh.internal.", a.status()["Self"])
        login, token, t0 = b.up_by_hand("bob")
        a.wait_peer("b", Online=True)
        seen = time.monotonic() - t0
        check(login.wait(10) == 0, login.log())
        check("%s/register/%s" % (URL, token) in login.log(), login.log())
        check(seen < 1, "seen after %.1f s" % seen)
        check(w.coord("logins") == [], "the login still waits")
        b.wait_peer("a", Online=True)
        check(b.status()["User"][str(b.status()["Self"]["UserID"])]["LoginName"] == "bob",
              b.status()["User"])
        found = a.cli("dns", "query", "b.mesh.internal").stdout
        check(w.node("b")["addresses"][0] in found, found)
        check(a.pong("b"), "no pong from b")
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


def the_coordinator_is_killed():
    """Its return changes nothing: the same server key, nodes and addresses."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        a.wait_peer("b", Online=True)
        # Their home relays are known, or they could not meet without the coordinator.
        wait_for(lambda: all(n["home_derp"] for n in w.coord("nodes")), 10, "home relays")
        check(a.pong("b", 3), "no pong")
        before = [(n["id"], n["name"], n["addresses"]) for n in w.coord("nodes")]
        w.kill_coord()
        check(a.pong("b", 3), "no pong")
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


def dns_is_told_and_answered():
    """Split DNS, resolvers, search domains and an extra record, told to a node that watches."""
    with World() as w:
        a = w.stock("a")
        a.up("--auth-key=" + w.key())
        doc = w.lab.path("dns.hujson")
        with open(doc, "w") as f:
            f.write('{"resolvers": [], // none\n "rutes": {}}')
        p = w.cli("dns", "set", doc, check=False)
        check(p.returncode == 1 and doc + ":2:2: unknown key \"rutes\"" in p.stdout, p)
        check(w.coord("dns", "show")["version"] == 0, "a bad one was kept")
        with open(doc, "w") as f:
            f.write("""{
  "routes": {"corp.example": ["192.0.2.53"], "lab.example": []},
  "domains": ["corp.example"],
  "extra_records": [{"name": "db.lab.example", "value": "192.0.2.77"},
                    {"name": "six.lab.example", "value": "2001:db8::77"}]}""")
        w.coord("dns", "set", doc)
        t0 = time.monotonic()
        wait_for(lambda: "192.0.2.77" in a.cli("dns", "query", "db.lab.example",
                                               check=False).stdout, 3, "the extra record")
        took = time.monotonic() - t0
        six = a.cli("dns", "query", "six.lab.example", "AAAA").stdout
        check("2001:db8::77" in six, six)
        status = a.cli("dns", "status").stdout
        for text in ("corp.example", "192.0.2.53", "mesh.internal"):
            check(text in status, "%s is not in %s" % (text, status))
        # It is the store's: another start tells the same.
        w.kill_coord()
        w.start_coord()
        check("db.lab.example" in w.cli("dns", "show").stdout, "it is forgotten")
        return "answered after %.2f s" % took


def all_say_the_same():
    """What nodes know of themselves and of each other is what the coordinator says."""
    with World() as w:
        a, b = w.stock("a"), w.stock("b")
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key("--tags", "tag:gw"), "--advertise-routes=10.9.0.0/16")
        w.approve("b", "10.9.0.0/16")
        a.wait_peer("b", Online=True, PrimaryRoutes=["10.9.0.0/16"])
        wait_for(lambda: all(n["home_derp"] for n in w.coord("nodes")), 10, "home relays")
        agree_on_nodes(w, (a, b))
        report = a.cli("netcheck", "--format=json", timeout=30).stdout
        home = re.search(r'"PreferredDERP":\s*(\d+)', report)
        check(home and int(home.group(1)) == w.node("a")["home_derp"], report)


def agree_on_nodes(w, stocks):
    rows = {n["name"]: n for n in w.coord("nodes")}
    users = {u["name"]: str(u["id"]) for u in w.coord("users")}

    def compare():
        wrong = []
        for s in stocks:
            status, netmap = s.status(), s.netmap()
            seen = dict(s.peers(), **{s.name: status["Self"]})
            nodes = {n["Name"].split(".")[0]: n for n in netmap["Peers"] + [netmap["SelfNode"]]}
            if seen.keys() != rows.keys() or nodes.keys() != rows.keys():
                return ["%s knows %s and %s" % (s.name, sorted(seen), sorted(nodes))]
            for name, row in rows.items():
                p, n = seen[name], nodes[name]
                # Tagged nodes are nobody's: only their own status names a user for them.
                owner = "tagged-devices" if row["tags"] else row["user"]
                for what, theirs, ours in (
                        ("addresses", p["TailscaleIPs"], row["addresses"]),
                        ("key", p["PublicKey"], row["node_key"]),
                        ("online", p["Online"], row["online"]),
                        ("tags", p.get("Tags") or [], row["tags"]),
                        ("user", status["User"].get(str(p["UserID"]), {}).get("LoginName", owner),
                         owner),
                        ("relay", p["Relay"], "test"),
                        ("id", n["ID"], row["id"]),
                        ("name", n["Name"], name + ".mesh.internal."),
                        ("map addresses", [x.split("/")[0] for x in n["Addresses"]],
                         row["addresses"]),
                        ("map key", n["Key"], row["node_key"]),
                        # Its own it is not told again: it told them.
                        ("home", n.get("HomeDERP"), name != s.name and row["home_derp"]),
                        ("endpoints", n.get("Endpoints") or [],
                         name != s.name and row["endpoints"]),
                        ("expiry", (n.get("KeyExpiry") or "")[:19], (row["expires"] or "")[:19]),
                        ("routes", n["AllowedIPs"][2:],
                         ["10.9.0.0/16"] if name == "b" else [])):
                    if ours is not False and theirs != ours:
                        wrong.append("%s of %s: %s says %s, the coordinator %s" %
                                     (what, name, s.name, theirs, ours))
        return wrong

    check(users["ann"] == "1", users)
    end = time.monotonic() + 5
    while compare() and time.monotonic() < end:
        time.sleep(0.2)
        rows = {n["name"]: n for n in w.coord("nodes")}
    check(not compare(), "; ".join(compare()))


def through_our_relay_without_udp():
    """With UDP cut between two sites their nodes talk through causeway-derp."""
    with World() as w:
        site_a, site_b = w.site("a"), w.site("b")
        w.ns.nft("table inet cut { chain f { type filter hook forward priority 0; "
                 "meta l4proto udp drop; }; }")
        a, b = w.stock("a", ns=site_a, tun=True), w.stock("b", ns=site_b, tun=True)
        a.up("--auth-key=" + w.key())
        b.up("--auth-key=" + w.key())
        a.wait_peer("b", Online=True)
        address = w.node("b")["addresses"]
        first = site_a.wait_ping(address[0], 10)
        site_a.ping(address[0], 5, 1.0, check=True)
        site_a.ping(address[1], 5, 1.0, check=True)
        out = a.cli("ping", "--timeout=3s", "--c=3", "--until-direct=false", "b", timeout=20,
                    check=False).stdout
        check("via DERP(test)" in out and "via 10." not in out, out)
        site_b.ping(w.node("a")["addresses"][0], 5, 1.0, check=True)
        # Direct as soon as UDP is there again.
        w.ns.nft("delete table inet cut")
        t0 = time.monotonic()
        wait_for(lambda: "via 10.254." in a.cli("ping", "--timeout=1s", "--c=1", "b",
                                                check=False).stdout, 30, "a direct path")
        return "first echo after %.2f s, direct %.1f s after the cut" % (
            first, time.monotonic() - t0)


def over_tls():
    """The listener with certificate files; a restart, and the stream is there again."""
    with World() as w:
        cert, key = certificate(w.lab, IP)
        w.kill_coord()
        w.url = TLS_URL
        w.options += ["--listen-tls", IP + ":8443", "--tls-cert", cert, "--tls-key", key]
        w.start_coord()
        a = w.stock("a", env={"SSL_CERT_FILE": cert})
        b = w.stock("b", env={"SSL_CERT_FILE": cert})
        a.up("--auth-key=" + w.key())
        login, token, _ = b.up_by_hand("bob")
        check(login.wait(10) == 0 and TLS_URL + "/register/" + token in login.log(), login.log())
        a.wait_peer("b", Online=True)
        page = w.ns.sh("curl", "-sf", "--cacert", cert, TLS_URL + "/health").stdout
        check('"ok"' in page, page)
        used = w.ns.sh("ss", "-Htn", "state", "established", "sport = :8443").stdout
        check(len(used.splitlines()) >= 2, "the nodes are not on the TLS port: " + used)
        w.kill_coord()
        w.start_coord()
        t0 = time.monotonic()
        wait_for(lambda: all(n["online"] for n in w.coord("nodes")), 25, "both to return")
        return "back after %.0f s" % (time.monotonic() - t0)


def a_monitor_reads():
    """/metrics and /health on a port of their own, which cannot administer."""
    with World("--metrics", IP + ":9090", relay=False) as w:
        def get(path, port=9090, *more):
            return w.ns.sh("curl", "-s", "-m", "5", *more, "-w", "\n%{http_code}",
                           "http://%s:%d%s" % (IP, port, path), check=False).stdout

        text = get("/metrics")
        check(re.search(r"^causeway_coord_users 2$", text, re.M), text)
        check(re.search(r"^# TYPE causeway_coord_requests_total counter$", text, re.M), text)
        check(get("/health").endswith("200"), get("/health"))
        check(get("/health", 8080).endswith("200"), get("/health", 8080))
        # Counters are not for everybody who reaches the port of the nodes.
        check(get("/metrics", 8080).endswith("404"), get("/metrics", 8080))
        check(get("/coord/v0/users").endswith("404"), "it lists")
        check(get("/coord/v0/users/create", 9090, "-d", '{"name":"eve"}').endswith("404"),
              "it administers")
        check(len(w.coord("users")) == 2, w.coord("users"))


def named(*functions):
    return [(f.__name__.replace("_", "-"), f) for f in functions]


if __name__ == "__main__":
    # What is measured runs alone.
    sys.exit(main([named(two_join_by_key_and_by_hand), named(
        changes_reach_who_watches, all_say_the_same, dns_is_told_and_answered,
        through_our_relay_without_udp, a_monitor_reads, over_tls, the_coordinator_is_killed,
        ours_joins)], __doc__))
