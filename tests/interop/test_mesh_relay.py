#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that gateways between which no UDP passes reach each other through a relay, stock's and
ours, also with stock on the other side: the way shown is the way taken, as the relay counts it. A
relay that is killed takes nothing from direct flows, and relayed ones go on soon after its return."""

import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import wait_for  # noqa: E402
from nodes import Causeway, CausewayControl, CausewayMesh, Tailscaled, foreign  # noqa: E402
from test_mesh import World  # noqa: E402

PORT = 3443


class OurRelay(CausewayControl):
    """Also on the loopback, where it tells its figures."""

    def start_relay(self):
        self.starts += 1
        self.relay = self.ns.start("relay.%d" % self.starts, [
            Causeway.program("causeway-derp"), "--listen", "[::]:%d" % PORT, "--stun", "[::]:3478",
            "--state", self.lab.path("derp"), "--hostname", self.IP, "--self-signed"])
        wait_for(lambda: ":%d " % PORT in self.ns.sh("ss", "-ltn").stdout, 15, "the relay")

    def curl(self, path):
        return self.ns.sh("curl", "-sk", "https://127.0.0.1:%d%s" % (PORT, path)).stdout

    def relayed(self):
        """Packets that it has passed on."""
        return int(re.search(r"^causeway_derp_sent_total (\d+)", self.curl("/metrics"),
                             re.M).group(1))


class StockRelay(OurRelay):
    def start_relay(self):
        self.starts += 1
        state = self.lab.path("derper")
        os.makedirs(state, exist_ok=True)
        self.relay = self.ns.start("relay.%d" % self.starts, [
            foreign("derper"), "-c", os.path.join(state, "derper.json"), "-a", ":%d" % PORT,
            "-http-port", "-1", "-hostname", self.IP, "-certmode", "manual", "-certdir", state])
        wait_for(lambda: ":%d " % PORT in self.ns.sh("ss", "-ltn").stdout, 15, "the relay")

    def relayed(self):
        return json.loads(self.curl("/debug/vars"))["derp"]["packets_sent"]


def without_udp(control):
    """The same, and no gateway gets a datagram out of its house or in."""
    class NoUdp(control):
        def __init__(self, lab, sites):
            for s in sites.sites.values():
                s.gw.nft("table inet noudp {\nchain i {\ntype filter hook input priority 0\n"
                         "iifname eth0 meta l4proto udp drop\n}\nchain o {\n"
                         "type filter hook output priority 0\n"
                         "oifname eth0 meta l4proto udp drop\n}\n}\n")
            super().__init__(lab, sites)
    return NoUdp


def relayed(kinds, control):
    """Both families and directions, by the relay and nothing else."""
    with World(kinds, without_udp(control)) as w:
        first = w.ping(1, 2, seconds=5)
        check(first, "no ping")
        before = w.control.relayed()
        for a, b in ((1, 2), (2, 1)):
            for family in (4, 6):
                got = w.ping(a, b, family, count=20)
                check(len(got) == 20, "%d to %d, IPv%d: %d of 20" % (a, b, family, len(got)))
        # Each ping and each answer is a packet at the relay.
        counted = w.control.relayed() - before
        check(counted >= 160, "%d packets at the relay" % counted)
        for n in w.nodes:
            for name, seen in n.seen().items():
                check(not seen["CurAddr"] and seen["Relay"] == "lab",
                      "%s sees %s at %s" % (n.site.name, name, seen))
        for n in w.nodes:
            if isinstance(n, CausewayMesh):
                check(not n.faults(), "; ".join(n.faults()))
        return "first %.0f ms, then %.1f ms, %d packets at the relay" % (first[0], min(got),
                                                                         counted)


class Pings:
    """A ping each 100 ms from site 1's host to site 2's, with the times of the replies."""

    def __init__(self, w):
        self.w = w
        self.out = w.lab.path("pings")
        self.proc = w.sites[1].host.start("ping", [
            "ping", "-n", "-D", "-O", "-i", "0.1", w.sites[2].host_addr(4)], stdout=self.out)

    def replies(self):
        """[time, sequence number]"""
        return [(float(t), int(n)) for t, n in re.findall(
            r"^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+)", self.proc.output(), re.M)]

    def after(self, when):
        return [t for t, _ in self.replies() if t > when]


def relay_killed(kinds, control, limit):
    """Killed, and started again 8 s later: when does a ping come through?"""
    with World(kinds, without_udp(control)) as w:
        check(w.ping(1, 2, seconds=5), "no ping")
        pings = Pings(w)
        wait_for(lambda: len(pings.replies()) > 10, 5, "pings")
        w.control.relay.kill()
        killed = time.time()
        time.sleep(8)
        lost = pings.after(killed + 0.5)
        check(not lost, "%d replies without a relay" % len(lost))
        w.control.start_relay()
        back = time.time()
        wait_for(lambda: pings.after(back), 40, "a reply after the relay's return")
        took = pings.after(back)[0] - back
        check(limit is None or took <= limit, "%.1f s after the relay's return" % took)
        # And stays.
        count = len(pings.replies())
        wait_for(lambda: len(pings.replies()) >= count + 20, 4, "20 more")
        return "a reply %.1f s after the relay listens again" % took


def direct_without_relay():
    """A direct flow does not notice that its relay goes and comes back."""
    with World([CausewayMesh, CausewayMesh], OurRelay) as w:
        check(w.ping(1, 2, seconds=5), "no ping")
        wait_for(lambda: w.nodes[0].seen()["gw2"]["CurAddr"] and
                 w.nodes[1].seen()["gw1"]["CurAddr"], 5, "a direct way")
        time.sleep(1)
        pings = Pings(w)
        time.sleep(1)
        w.control.relay.kill()
        time.sleep(5)
        w.control.start_relay()
        time.sleep(2)
        got = sorted(n for _, n in pings.replies())
        lost = set(range(1, got[-1] + 1)) - set(got)
        check(len(got) > 60 and len(lost) == 0, "%d replies, lost: %s" % (len(got), sorted(lost)))
        return "%d pings, none lost" % len(got)


def cases():
    ours, mixed, stock = [CausewayMesh] * 2, [CausewayMesh, Tailscaled], [Tailscaled] * 2
    rows = [
        ("ours-over-ours", lambda: relayed(ours, OurRelay)),
        ("ours-over-stock", lambda: relayed(ours, StockRelay)),
        ("mixed-over-ours", lambda: relayed(mixed, OurRelay)),
        ("mixed-over-stock", lambda: relayed(mixed, StockRelay)),
        ("our-relay-killed", lambda: relay_killed(ours, OurRelay, 10)),
        ("stock-relay-killed", lambda: relay_killed(ours, StockRelay, 10)),
        # Reported, not judged: it is not ours.
        ("our-relay-killed-under-stock", lambda: relay_killed(stock, OurRelay, None)),
        ("direct-without-relay", direct_without_relay),
    ]
    return rows


if __name__ == "__main__":
    sys.exit(main([cases()], __doc__))
