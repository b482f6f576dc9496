#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows with stock tailscaleds that hosts behind a gateway are reached once its route is approved,
and that another gateway takes the route over: soon after the first one's stream ends, also when
its line is cut without a word, and not before a restarted coordinator has given it its time."""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from coord_world import World  # noqa: E402
from netns import wait_for  # noqa: E402

NET = "10.9.0.0/16"


def hosts_behind_a_gateway():
    """Advertised: nothing; approved: reached, by the node and back; withdrawn: nothing again."""
    with World() as w:
        site_a, site_b = w.site("a"), w.site("b")
        host = w.lab.ns("h")
        w.lab.veth(site_b, "lan0", host, "lan0")
        site_b.ip("addr add 10.9.0.1/16 dev lan0")
        host.ip("addr add 10.9.0.2/16 dev lan0", "route add default via 10.9.0.1")
        site_b.sysctl("net.ipv4.ip_forward", 1)
        a, b = w.stock("a", ns=site_a, tun=True), w.stock("b", ns=site_b, tun=True)
        a.up("--auth-key=" + w.key(), "--accept-routes")
        b.up("--auth-key=" + w.key(), "--advertise-routes=" + NET)
        a.wait_peer("b", Online=True)
        check(site_a.wait_ping(w.node("b")["addresses"][0]) < 10, "no ping to the gateway")
        check(site_a.ping("10.9.0.2", 2, 0.5)[0] == 0, "reached before it was approved")
        w.approve("b", NET)
        t0 = time.monotonic()
        site_a.wait_ping("10.9.0.2", 5)
        took = time.monotonic() - t0
        site_a.ping("10.9.0.2", 5, 1.0, check=True)
        w.coord("routes", "withdraw", "b", NET)
        wait_for(lambda: site_a.ping("10.9.0.2", 1, 0.3)[0] == 0, 5, "the route to go")
        check(w.primary(NET) is None, w.coord("routes"))
        return "reached after %.2f s" % took


def two_gateways(w, namespaces=(None, None)):
    """A node that watches, and gateways b (primary) and c."""
    a, b, c = (w.stock(n, ns=ns) for n, ns in zip("abc", (None,) + tuple(namespaces)))
    a.up("--auth-key=" + w.key())
    for gw in (b, c):
        gw.up("--auth-key=" + w.key(), "--advertise-routes=" + NET)
        w.approve(gw.name, NET)
    a.wait_peer("b", 2, PrimaryRoutes=[NET])
    check(a.peers()["c"].get("PrimaryRoutes") is None, a.peers())
    check(w.primary(NET) == "b", w.coord("routes"))
    return a, b, c


def moves(w):
    """How often a primary route moved."""
    return sum(line["action"] == "route.primary" for line in w.coord("audit"))


def a_poll_that_ends():
    with World() as w:
        a, b, c = two_gateways(w)
        b.proc.kill()
        t0 = time.monotonic()
        a.wait_peer("c", 6, PrimaryRoutes=[NET])
        took = time.monotonic() - t0
        check(took < 5, "moved after %.1f s" % took)
        check(a.peers()["b"]["Online"] is False, a.peers())
        # Its return takes nothing back: moving costs every flow.
        b.start()
        a.wait_peer("b", 15, Online=True)
        time.sleep(1)
        check(w.primary(NET) == "c" and moves(w) == 1, w.coord("routes"))
        return "moved after %.1f s" % took


def a_short_absence_moves_nothing():
    """A stream that ends and comes back was never away."""
    with World() as w:
        a, b, c = two_gateways(w)
        b.proc.kill()
        b.start()
        wait_for(lambda: b.status()["BackendState"] == "Running", 10, "b to run")
        time.sleep(6)
        check(w.primary(NET) == "b" and moves(w) == 0, w.coord("routes"))
        check(w.node("b")["online"], w.node("b"))


def a_line_that_is_cut():
    """No FIN, no RST: packets of the gateway are dropped on both ways."""
    with World() as w:
        site = w.site("b")
        a, b, c = two_gateways(w, (site, None))
        # Idle, as most of the time: no data waits for an acknowledgement.
        time.sleep(3)
        site.nft("""table inet cut {
                chain in { type filter hook input priority -300; iifname "up0" drop; }
                chain out { type filter hook output priority -300; oifname "up0" drop; }
            }""")
        t0 = time.monotonic()
        a.wait_peer("c", 20, PrimaryRoutes=[NET])
        took = time.monotonic() - t0
        check(took < 15, "moved after %.1f s" % took)
        site.nft("delete table inet cut")
        a.wait_peer("b", 40, Online=True)
        check(w.primary(NET) == "c" and moves(w) == 1, w.coord("routes"))
        return "moved after %.1f s" % took


def a_restart_moves_nothing():
    """All come back within a minute: no route moves, whatever the order."""
    with World() as w:
        a, b, c = two_gateways(w)
        w.kill_coord()
        b.proc.signal(19)  # SIGSTOP: c is back first, b some seconds later
        w.start_coord()
        wait_for(lambda: w.node("c")["online"], 30, "c to return")
        time.sleep(5)
        check(w.primary(NET) == "b", w.coord("routes"))
        b.proc.signal(18)
        wait_for(lambda: w.node("b")["online"], 40, "b to return")
        time.sleep(5)
        check(w.primary(NET) == "b" and moves(w) == 0, w.coord("routes"))


def a_gateway_that_does_not_return():
    """After a restart its route stays its own for 60 s, then moves."""
    with World() as w:
        a, b, c = two_gateways(w)
        w.kill_coord()
        b.proc.kill()
        w.start_coord()
        t0 = time.monotonic()
        wait_for(lambda: w.node("c")["online"], 30, "c to return")
        while time.monotonic() - t0 < 58:
            check(w.primary(NET) == "b", "moved after %.1f s" % (time.monotonic() - t0))
            time.sleep(2)
        wait_for(lambda: w.primary(NET) == "c", 8, "the route to move")
        took = time.monotonic() - t0
        a.wait_peer("c", 3, PrimaryRoutes=[NET])
        check(took >= 59 and moves(w) == 1, "moved after %.1f s" % took)
        return "moved after %.1f s" % took


def named(*functions):
    return [(f.__name__.replace("_", "-"), f) for f in functions]


if __name__ == "__main__":
    # What is measured to a second runs alone; the long ones wait most of their time.
    sys.exit(main([named(a_poll_that_ends), named(
        a_gateway_that_does_not_return, a_restart_moves_nothing, a_line_that_is_cut,
        a_short_absence_moves_nothing, hosts_behind_a_gateway)], __doc__))
