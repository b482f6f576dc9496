#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that causewayd's netcheck says of a network what stock nodes say of it, behind NATs of
four kinds, with IPv6 and without, of stock derper and causeway-derp; that it notices when its NAT
or its link becomes another; and that names of relays are looked up.

mesh_netcheck (tests/lab/mesh_netcheck.c) is causewayd's netcheck alone, netcheck
(tests/interop/netcheck) the reference's."""

import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from nat import KINDS, Internet  # noqa: E402
from netns import Lab, helper, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

DERP, STUN, PORT = 3443, 3478, 41641
NAT = {"open": "none", "eim": "endpoint-independent", "sym": "varies by destination",
       "noudp": "udp blocked"}
# What both must say; times and ports are each one's own.
SAME = ("UDP", "IPv4", "IPv6", "IPv4CanSend", "IPv6CanSend", "OSHasIPv6", "MappingVariesByDestIP",
        "UPnP", "PMP", "PCP", "CaptivePortal")


class World:
    """An internet with two relays, each a region: stock derper (1) and causeway-derp (2)."""

    def __init__(self, name):
        self.lab = Lab(name="netcheck-" + name)
        try:
            self.internet = Internet(self.lab)
            self.relays = {}
            self.start_stock(self.server(1))
            self.start_ours(self.server(2))
            self.map = self.write_map("map.json", {i: {} for i in self.relays})
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def server(self, region):
        ns = self.internet.server("relay%d" % region, 200 + region)
        self.relays[region] = ns
        return ns

    def started(self, ns, proc):
        wait_for(lambda: not proc.running() or all(
            ":%d " % port in ns.sh("ss", "-lntu").stdout for port in (DERP, STUN)), 15, proc.name)
        check(proc.running(), proc.log())

    def start_stock(self, ns):
        ip, state = "203.0.113.201", self.lab.path("derper", "x")
        self.started(ns, ns.start("derper", [
            foreign("derper"), "-c", state + ".json", "-a", ":%d" % DERP, "-http-port", -1,
            "-stun-port", STUN, "-hostname", ip, "-certmode", "manual",
            "-certdir", os.path.dirname(state)]))

    def start_ours(self, ns):
        self.started(ns, ns.start("causeway-derp", [
            Causeway.program("causeway-derp"), "--listen", "[::]:%d" % DERP, "--stun",
            "[::]:%d" % STUN, "--state", self.lab.path("ours"), "--hostname", "203.0.113.202",
            "--self-signed", "--workers", 1]))

    def write_map(self, name, nodes):
        """Regions with one node, each with these members besides its addresses."""
        regions = {}
        for i, more in nodes.items():
            node = {"Name": "%da" % i, "RegionID": i, "HostName": "203.0.113.%d" % (200 + i),
                    "IPv4": "203.0.113.%d" % (200 + i), "IPv6": "2001:db8::%x" % (200 + i),
                    "DERPPort": DERP, "InsecureForTests": True}
            node.update(more)
            regions[str(i)] = {"RegionID": i, "RegionCode": "r%d" % i, "RegionName": "r%d" % i,
                               "Nodes": [node]}
        path = self.lab.path(name)
        with open(path, "w") as f:
            json.dump({"Regions": regions}, f)
        return path

    def theirs(self, place):
        p = place.ns.start("theirs", [foreign("netcheck"), "-map", self.map],
                           stdout=self.lab.path("theirs.json"))
        check(p.wait(25) == 0, p.log())
        return json.loads(p.output())

    def ours(self, place, *options, map_file=None):
        return Ours(self, place, map_file or self.map, options)


class Ours:
    """A mesh_netcheck; its events so far."""

    count = 0

    def __init__(self, world, place, map_file, options):
        Ours.count += 1
        name = "ours-%d" % Ours.count
        self.t0 = time.monotonic()
        self.proc = place.ns.start(name, [helper("mesh_netcheck"), "--map", map_file, "--port",
                                          PORT] + list(options),
                                   stdout=world.lab.path(name + ".out"))

    def events(self, word):
        return [line.split(" ", 1)[1] if " " in line else ""
                for line in self.proc.output().splitlines() if line.split(" ", 1)[0] == word]

    def wait(self, word, count=1, seconds=10):
        wait_for(lambda: len(self.events(word)) >= count or not self.proc.running(), seconds,
                 "%d of %s" % (count, word), 0.01)
        got = self.events(word)
        check(len(got) >= count, "%s: %s" % (self.proc.output(), self.proc.log()))
        return got[-1]

    def end(self):
        code = self.proc.wait(15)
        check(code == 0, "exit %d: %s" % (code, self.proc.log()))
        return json.loads(self.events("report")[-1])

    def endpoints(self):
        """{endpoint: type} as told last."""
        return {e.rsplit("/", 1)[0]: int(e.rsplit("/", 1)[1])
                for e in self.events("endpoints")[-1].split()}


def host(endpoint):
    return endpoint.rsplit(":", 1)[0]


def compare(kind, v6):
    def case():
        with World("%s%d" % (kind, v6)) as w:
            place = w.internet.place(1, kind, v6)
            ours = w.ours(place)
            mine = ours.end()
            took = time.monotonic() - ours.t0
            theirs = w.theirs(place)
            # Over HTTPS the family is that of whatever connection was first.
            same = SAME if kind != "noudp" else set(SAME) - {"IPv4", "IPv6"}
            for key in same:
                check(mine[key] == theirs[key], "%s: we %s, they %s" % (key, mine[key],
                                                                       theirs[key]))
            check(sorted(mine) == sorted(theirs), "other members: %s" % sorted(
                set(mine) ^ set(theirs)))
            for key in ("RegionLatency", "RegionV4Latency", "RegionV6Latency"):
                check(sorted(mine[key]) == sorted(theirs[key]), "%s: we %s, they %s" % (
                    key, mine[key], theirs[key]))
            for key in ("GlobalV4", "GlobalV6"):
                check(host(mine[key]) == host(theirs[key]), "%s: we %s, they %s" % (
                    key, mine[key], theirs[key]))
            check(mine["PreferredDERP"] in (1, 2), mine)
            check(ours.events("home")[-1] == str(mine["PreferredDERP"]), ours.proc.output())
            check(ours.events("nat")[-1] == NAT[kind], ours.events("nat"))
            facts(place, ours, mine)
            return "%.2f s" % took
    return "%s-v%s" % (kind, "46" if v6 else "4"), case


def facts(place, ours, report):
    """What is so by the way the network was built."""
    told = ours.endpoints()
    netinfo = json.loads(ours.events("netinfo")[-1])
    check(report["UDP"] == (place.kind != "noudp"), report)
    check(netinfo["WorkingUDP"] == report["UDP"], netinfo)
    check(netinfo["PreferredDERP"] == report["PreferredDERP"], netinfo)
    check(netinfo.get("MappingVariesByDestIP") == report["MappingVariesByDestIP"], netinfo)
    check(told.get("%s:%d" % (place.inside4, PORT)) in (1, 2), told)
    if place.kind == "eim":
        check(told.get("%s:%d" % (place.outside4, PORT)) == 2, told)
    if place.kind == "sym":
        check(report["MappingVariesByDestIP"] is True, report)
        # Our own port, in case it was forwarded by hand.
        check(told.get("%s:%d" % (place.outside4, PORT)) == 4, told)
    if place.kind != "noudp":
        check(host(report["GlobalV4"]) == place.outside4, report)
        check(report["IPv6"] == place.has_v6, report)


def early():
    """Behind a NAT: local endpoints at once, STUN's with the first answer, though IPv6 is never
    answered; and a region all of whose STUN is off is no reason to wait."""
    with World("early") as w:
        place = w.internet.place(1, "eim", True)
        for relay in w.relays.values():
            relay.nft("table ip6 f {\nchain c {\ntype filter hook input priority 0;\n"
                      "udp dport %d drop\n}\n}\n" % STUN)
        ours = w.ours(place)
        t0 = ours.t0
        ours.wait("endpoints", 2)
        wait_for(lambda: ours.endpoints().get("203.0.113.1:%d" % PORT) == 2, 2, "STUN's", 0.005)
        first = time.monotonic() - t0
        ours.end()
        whole = time.monotonic() - t0
        check(first < 1.0 < whole, "%.2f s, %.2f s" % (first, whole))
        off = w.ours(place, map_file=w.write_map("off.json", {1: {"STUNPort": -1},
                                                              2: {"IPv6": "none"}}))
        report = off.end()
        check(time.monotonic() - off.t0 < 1.5, "waited for a relay without STUN")
        check(list(report["RegionLatency"]) == ["2"], report)
        return "first %.0f ms, whole %.0f ms" % (first * 1e3, whole * 1e3)


def mapping_changes():
    """The NAT forgets its mappings: the next light report has the new one, the old one stays."""
    with World("remap") as w:
        place = w.internet.place(1, "eim")
        ours = w.ours(place, "--reports", "2")
        ours.wait("report")
        place.remap(20000, 20999)
        ours.wait("report", 2, 30)
        told = ours.endpoints()
        check(told.get("203.0.113.1:%d" % PORT) == 2, told)
        new = [e for e, kind in told.items() if kind == 2 and e != "203.0.113.1:%d" % PORT]
        check(len(new) == 1 and 20000 <= int(new[0].rsplit(":", 1)[1]) <= 20999, told)
        took = time.monotonic() - ours.t0
        check(19 < took < 29, "light report after %.1f s" % took)
        return "light report after %.1f s" % took


def link_changes():
    """Another address, another way out: a full report at once."""
    with World("link") as w:
        place = w.internet.place(1, "open")
        ours = w.ours(place, "--reports", "3")
        ours.wait("report")
        t0 = time.monotonic()
        place.ns.ip("addr add 203.0.113.77/24 dev eth0")
        ours.wait("link")
        ours.wait("report", 2, 5)
        took = time.monotonic() - t0
        check(ours.endpoints().get("203.0.113.77:%d" % PORT) == 1, ours.endpoints())
        # Nothing up: silence. Up again: a report.
        place.ns.ip("link set eth0 down")
        ours.wait("link", 2)
        check(not [e for e, kind in ours.endpoints().items() if kind == 1], ours.endpoints())
        place.ns.ip("link set eth0 up")
        ours.end()
        return "%.0f ms" % (took * 1e3)


def by_name():
    """A relay known by name, in the hosts file of the namespace."""
    with World("name") as w:
        place = w.internet.place(1, "open", True)
        etc = "/etc/netns/%s" % place.ns.name
        os.makedirs(etc)
        w.lab.remove_later(etc + "/hosts")
        try:
            with open(etc + "/hosts", "w") as f:
                f.write("203.0.113.201 relay.test\n2001:db8::c9 relay.test\n")
            named = w.write_map("named.json", {1: {"HostName": "relay.test", "IPv4": "",
                                                   "IPv6": ""}})
            report = w.ours(place, map_file=named).end()
            check(report["IPv4"] and report["IPv6"], report)
            check(report["PreferredDERP"] == 1, report)
        finally:
            os.unlink(etc + "/hosts")
            os.rmdir(etc)


def relay_dies():
    """Its region is answered no more: the other one is home, after the next light report."""
    with World("dies") as w:
        place = w.internet.place(1, "open")
        ours = w.ours(place, "--reports", "2")
        ours.wait("report")
        home = int(ours.events("home")[-1])
        w.relays[home].ip("link set eth0 down")
        ours.wait("report", 2, 35)
        check(ours.events("home")[-1] == str(3 - home), ours.proc.output())
        text = ours.events("netinfo")[-1]
        check(re.search(r'"PreferredDERP":%d\b' % (3 - home), text), text)


GROUPS = [
    [compare(kind, v6) for kind in KINDS for v6 in (False, True)],
    [(f.__name__, f) for f in (early, mapping_changes, link_changes, by_name, relay_dies)],
]

if __name__ == "__main__":
    sys.exit(main(GROUPS, __doc__))
