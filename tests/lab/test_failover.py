#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that either program of a gateway may die under traffic. With causewayd killed at a
session age of 20 to 100 s nothing is lost for 60 s, and after its restart the session is
renewed without loss; with causeway-dp killed traffic is back within 2 s of its restart.

10,000 packets a second each way (4,000 on a CPU without AVX-512), every sequence number accounted
for. The five trials of causewayd, three on kernel and two on xdp ports, run side by side: that is
what two cores carry with room left. CAUSEWAY_LAB_ALL=1 adds five more with the ports exchanged."""

import os
import sys
import time

from cases import check, main
from flows import Udp, account, affordable, lost_between
from netns import Lab
from nodes import Causeway, pair
from topology import SharedPairs, Sites

PPS = int(os.environ.get("CAUSEWAY_FAILOVER_PPS") or affordable(10000, 4000))
DOWN_SECONDS = 60
# By then every session of before is past its 180 s: traffic means a renewed one.
RUN_SECONDS = 190
BACK_SECONDS = 2.0


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


# The trials of causewayd wait on real timers: all in one topology, side by side.
WAITS = SharedPairs("failover")


def two(port, lab, s):
    """Two gateways with a session between them, begun by the first."""
    nodes = [Causeway(lab, s[n], port_kind=port) for n in (1, 2)]
    pair(*nodes)
    for n in nodes:
        n.start()
        # A virtual machine's CPU may stand still for 100 ms while the other sends on: the
        # usual 1,000 packets are just that long.
        n.site.gw.ip("link set %s txqueuelen 4000" % n.tun)
    s[1].host.wait_ping(s[2].host4, 15)
    return nodes


def logs(nodes):
    return "\n" + "\n".join(n.logs() for n in nodes)


def losses(reports, from_ns, to_ns):
    """Losses each way of packets sent between two times."""
    a, b = reports
    return [lost_between(rx, PPS, tx["start_ns"], from_ns, to_ns)
            for tx, rx in ((a["tx"], b["rx"]), (b["tx"], a["rx"]))]


def kill_causewayd(port, age, who):
    """who: 1 kills the daemon of the side that began the session, 2 the other's."""
    Causeway.require()
    lab, s = WAITS.pair(xdp=(1, 2) if port == "xdp" else ())
    nodes = two(port, lab, s)
    born = now_ns()
    flow = Udp(lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=PPS,
               seconds=RUN_SECONDS)
    time.sleep(max(0, age - (now_ns() - born) / 1e9))
    killed = now_ns()
    nodes[who - 1].kill_daemon()
    time.sleep(DOWN_SECONDS)
    check(nodes[who - 1].dp.running(), "causeway-dp ended with causewayd")
    restarted = now_ns()
    nodes[who - 1].start_daemon()
    nodes[who - 1].wait_ready()
    reports = flow.wait()
    for what, t0, t1 in (("before the kill", 0, killed), ("within 60 s", killed, restarted),
                         ("after the restart", restarted, now_ns())):
        gone = losses(reports, t0, t1)
        check(gone == [0, 0], "lost %s %s: %s%s" % (gone, what, account(reports),
                                                   logs(nodes)))
    check(all(r["tx"]["sent"] >= PPS * (RUN_SECONDS - 1) for r in reports),
          "the source was held up: " + account(reports))
    check(all(r["rx"]["lost"] == 0 for r in reports), account(reports))
    return "2 x %d packets, none lost, longest gap %.0f ms" % (
        reports[0]["tx"]["sent"], max(r["rx"]["longest_gap_ms"] for r in reports))


def kill_dp(port, who):
    """Back within 2 s of the restart, without any other action."""
    Causeway.require()
    lab = Lab(name="dp-failover", first=True)
    with lab:
        s = Sites(lab, xdp=(1, 2) if port == "xdp" else ())
        nodes = two(port, lab, s)
        flow = Udp(lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=PPS, seconds=12)
        time.sleep(3)
        nodes[who - 1].kill_dp()
        time.sleep(1)
        restarted = now_ns()
        nodes[who - 1].start_dp()
        reports = flow.wait()
        took = []
        for r in reports:
            rx = r["rx"]
            end = rx["longest_gap_start_ns"] + int(rx["longest_gap_ms"] * 1e6)
            check(rx["longest_gap_ms"] > 500, "no gap: was it killed? " + account(reports))
            check(rx["last_ns"] > restarted + 5e9, "not back: %s%s" % (account(reports),
                                                                       logs(nodes)))
            took.append((end - restarted) / 1e9)
        check(max(took) <= BACK_SECONDS, "back after %.2f and %.2f s%s" % (*took, logs(nodes)))
        late = losses(reports, restarted + int((max(took) + 1) * 1e9), now_ns())
        check(late == [0, 0], "still losing %s after it was back: %s" % (late, account(reports)))
        return "back after %.2f and %.2f s" % tuple(took)


def case(fn, *args):
    return "-".join([fn.__name__] + [str(a) for a in args]), lambda: fn(*args)


# (age, whose daemon, port)
TRIALS = [(20, 1, "kernel"), (40, 2, "xdp"), (60, 2, "kernel"), (80, 1, "xdp"),
          (100, 1, "kernel")]
MORE = [(age, who, "kernel" if port == "xdp" else "xdp") for age, who, port in TRIALS]


def trials(table):
    return [case(kill_causewayd, port, age, who) for age, who, port in table]


if __name__ == "__main__":
    groups = [[case(kill_dp, p, who) for p in ("kernel", "xdp")] for who in (1, 2)]
    groups.append(trials(TRIALS))
    if os.environ.get("CAUSEWAY_LAB_ALL"):
        groups.append(trials(MORE))
    sys.exit(main(groups, __doc__))
