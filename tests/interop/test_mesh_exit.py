#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows exit nodes and translation in a mesh with stock tailscaleds: theirs through ours, ours
through theirs, what is closed when an exit node goes, and the source that hosts of a subnet see."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from capture import Capture  # noqa: E402
from cases import check, main  # noqa: E402
from netns import Lab, wait_for  # noqa: E402
from nodes import CausewayControl, CausewayMesh, Tailscaled  # noqa: E402
from test_exit import ECHO, FAR4, FAR6, answers, in_the_clear, seen_as, topology  # noqa: E402

EVERYTHING = ("0.0.0.0/0", "::/0")


class World:
    """gw1 is ours, gw2 stock; the internet has a host that is behind default routes alone."""

    def __init__(self):
        self.lab = Lab(name="mesh-exit")
        try:
            s = self.sites = topology(self.lab)
            s.inet.start("echo", ["python3", "-c", ECHO])
            self.control = CausewayControl(self.lab, s)
            self.ours = CausewayMesh(self.lab, s[1], control=self.control)
            self.theirs = Tailscaled(self.lab, s[2], control=self.control)
            for n in (self.ours, self.theirs):
                n.start()
                self.control.approve(n)
            for family in (4, 6):
                s[1].host.wait_ping(s[2].host_addr(family), 20)
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, e, tb):
        if e is not None and not isinstance(e, KeyboardInterrupt):
            sys.stderr.write(self.ours.logs() + "\n")
        self.lab.close()

    def offer(self, node, cli):
        """The node is an exit node; the other knows."""
        cli("set", "--advertise-exit-node", "--snat-subnet-routes=true")
        wait_for(lambda: {r["prefix"] for r in self.control.coord("routes")
                          if r["node"] == node.site.name} >= set(EVERYTHING), 10, "the offer")
        for p in EVERYTHING:
            self.control.coord("routes", "approve", node.site.name, p)
        other = self.theirs if node is self.ours else self.ours
        wait_for(lambda: other.seen()[node.site.name].get("ExitNodeOption"), 10, "the option")


def stock_through_ours():
    with World() as w:
        w.offer(w.ours, w.ours.stock)
        before = seen_as(w.sites[2].gw, FAR4)
        check(before == [w.sites[2].wan4], "before: %s" % before)
        # Else stock sends what comes for its LAN back into the tunnel.
        w.theirs.cli("set", "--exit-node=gw1", "--exit-node-allow-lan-access=true")
        for ns in (w.sites[2].gw, w.sites[2].host):
            wait_for(lambda: seen_as(ns, FAR4) == [w.sites[1].wan4], 10,
                     "IPv4 of %s by our gateway" % ns.short)
            got = seen_as(ns, FAR6)
            check(got == [w.sites[1].wan6], "IPv6 of %s: %s" % (ns.short, got))
        # Hosts of our subnet see our gateway, since translation is on now.
        w.sites[1].host.start("echo", ["python3", "-c", ECHO])
        wait_for(lambda: seen_as(w.sites[2].host, w.sites[1].host4) == [w.sites[1].gw4], 10,
                 "a translated source")
        w.ours.stock("set", "--snat-subnet-routes=false")
        wait_for(lambda: seen_as(w.sites[2].host, w.sites[1].host4) == [w.sites[2].host4], 10,
                 "a source that is kept")


def ours_through_stock():
    with World() as w:
        w.offer(w.theirs, w.theirs.cli)
        ours, gw, host = w.ours, w.sites[1].gw, w.sites[1].host
        ours.stock("set", "--exit-node=gw2", "--exit-node-allow-lan-access=true")
        for ns in (gw, host):
            wait_for(lambda: seen_as(ns, FAR4) == [w.sites[2].wan4], 10,
                     "IPv4 of %s by the stock node" % ns.short)
            got = seen_as(ns, FAR6)
            check(got == [w.sites[2].wan6], "IPv6 of %s: %s" % (ns.short, got))
        check(answers(gw, w.sites[1].host4), "the LAN is shut though it is allowed")
        ours.stock("set", "--exit-node-allow-lan-access=false")
        wait_for(lambda: not answers(gw, w.sites[1].host4), 10, "the LAN to be shut")
        check(answers(host, w.sites[2].host4), "what is forwarded for the LAN is shut, too")

        # The relay and the coordinator are reached beside the tunnel, or nothing would work.
        check(not ours.status().get("Health"), ours.status().get("Health"))
        cap = Capture(w.lab, w.sites.inet, "port1")
        w.control.coord("nodes", "delete", "gw2")
        wait_for(lambda: "gw2" not in ours.seen(), 10, "the exit node to go")
        for ns in (gw, host):
            check(not answers(ns, FAR4) and not answers(ns, FAR6), "an answer without an exit node")
        leaked = in_the_clear(cap)
        check(not leaked, "%d frames beside the tunnel" % len(leaked))
        check(not ours.status().get("Health"), ours.status().get("Health"))
        ours.stock("set", "--exit-node=")
        wait_for(lambda: seen_as(gw, FAR4) == [w.sites[1].wan4], 10, "the direct way back")
        check("lookup 52" not in gw.sh("ip", "rule").stdout, "rules are left")


if __name__ == "__main__":
    sys.exit(main([[("mesh-exit-" + f.__name__.replace("_", "-"), f) for f in (
        stock_through_ours, ours_through_stock)]], __doc__))
