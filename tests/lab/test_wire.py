#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the impaired wire does what it is told: each impairment measured against
bounds between two hosts, in both directions, and changed while it runs."""

import json
import sys

from cases import check, main
from netns import Lab, helper
from topology import Wire


class Line:
    """hostA eth0 -- a [wire] b -- eth0 hostB"""

    def __init__(self, *options, seed=7):
        self.lab = Lab(name="wire")
        try:
            self.a, self.w, self.b = self.lab.ns("ha"), self.lab.ns("w"), self.lab.ns("hb")
            self.lab.veth(self.a, "eth0", self.w, "a")
            self.lab.veth(self.w, "b", self.b, "eth0")
            for i, h in ((1, self.a), (2, self.b)):
                h.offload("eth0", "tx", "off", "tso", "off", "gso", "off",
                          "tx-udp-segmentation", "off")
                h.ip("addr add 10.0.0.%d/24 dev eth0" % i,
                     "addr add fd00::%d/64 dev eth0 nodad" % i)
            for dev in "ab":
                self.w.offload(dev, "gro", "off")
                self.w.sysctl("net.ipv6.conf.%s.disable_ipv6" % dev, 1)
            self.wire = Wire(self.lab, self.w, options, seed)
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        # Neighbours are known before anything is judged.
        self.wire.ask("set both cut=0")
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def flow(self, rate=2000, seconds=2.0, size=64, v6=False, both=True):
        """What traffic of both hosts counted: (report of A, report of B)."""
        addr = ("fd00::1", "fd00::2") if v6 else ("10.0.0.1", "10.0.0.2")
        run = []
        for i, ns in enumerate((self.a, self.b)):
            out = self.lab.path("traffic-%d.json" % i)
            argv = [helper("traffic"), "--bind", addr[i], "--size", size, "--time", seconds,
                    "--rate", rate]
            argv += ["--to", addr[1 - i]] if both or i == 0 else ["--listen"]
            run.append((ns.start("traffic", argv, stdout=out), out))
        got = []
        for p, out in run:
            p.wait(seconds + 20)
            with open(out) as f:
                got.append(json.load(f))
        return got


def clean():
    with Line() as l:
        for v6 in (False, True):
            for r in l.flow(rate=10000, seconds=2, v6=v6):
                rx = r["rx"]
                check(r["tx"]["sent"] > 19000, "sent only %d" % r["tx"]["sent"])
                check(rx["lost"] == 0 and rx["duplicates"] == 0 and rx["reordered"] == 0, rx)
        s = l.wire.stats()
        check(s["ab"]["supers"] == 0 and s["ab"]["send_errors"] == 0, s)
        check(s["ab"]["in"] == s["ab"]["out"] and s["ba"]["in"] == s["ba"]["out"], s)


def bulk_tcp():
    """Whole TCP works through it, offloads on (glued frames pass as they are) or off."""
    rates = []
    for offload in ("off", "on"):
        with Line() as l:
            for h in (l.a, l.b):
                h.offload("eth0", "tx", offload, "tso", offload, "gso", offload)
            srv = l.b.start("iperf3", ["iperf3", "-s", "-1"])
            l.a.wait_ping("10.0.0.2")
            out = l.a.sh("iperf3", "-c", "10.0.0.2", "-t", 1, "-J", timeout=20).stdout
            srv.wait(5)
            gbit = json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9
            rates.append("%s %.2f" % (offload, gbit))
            check(gbit > 0.2, "only %.3f Gbit/s with offloads %s" % (gbit, offload))
            supers = l.wire.stats()["ab"]["supers"]
            check((supers > 0) == (offload == "on"), "%d supers, offloads %s" % (supers, offload))
    return "Gbit/s with offloads " + ", ".join(rates)


def delay():
    with Line("--ab", "delay=30ms", "--ba", "delay=10ms") as l:
        l.a.wait_ping("10.0.0.2")
        n, rtt = l.a.ping("10.0.0.2", 10, interval=0.02)
        check(n == 10 and 40000 <= rtt < 43000, "%s answers, rtt %s us, wanted 40 ms" % (n, rtt))
        l.wire.set("both", delay="1ms")
        n, rtt = l.a.ping("10.0.0.2", 10, interval=0.02)
        check(n == 10 and 2000 <= rtt < 4000, "after the change: %s, %s us" % (n, rtt))


def jitter():
    """Spread as wide as told, order kept."""
    with Line("--ab", "delay=20ms,jitter=10ms") as l:
        l.a.wait_ping("10.0.0.2")
        p = l.a.sh("ping", "-n", "-c", 60, "-i", "0.03", "10.0.0.2", timeout=30).stdout
        t = sorted(float(x.split("time=")[1].split()[0]) for x in p.splitlines() if "time=" in x)
        check(len(t) == 60, "%d answers" % len(t))
        check(t[0] >= 9.9 and t[-1] < 33 and t[-1] - t[0] > 12, "%.1f..%.1f ms" % (t[0], t[-1]))
        rx = l.flow(rate=2000)[1]["rx"]
        check(rx["reordered"] == 0 and rx["lost"] == 0, rx)


def loss():
    with Line("--ab", "loss=10%") as l:
        l.a.wait_ping("10.0.0.2", 20)
        l.wire.ask("reset")
        ra, rb = l.flow(rate=5000, seconds=3)
        share = rb["rx"]["lost"] / ra["tx"]["sent"]
        check(0.08 < share < 0.12, "lost %.3f of a to b, wanted 0.10" % share)
        check(ra["rx"]["lost"] == 0, "b to a lost %d, wanted none" % ra["rx"]["lost"])
        s = l.wire.stats()["ab"]
        check(s["lost"] >= rb["rx"]["lost"], "wire counted %d, receiver misses %d" %
              (s["lost"], rb["rx"]["lost"]))
        return "%.2f %%" % (share * 100)


def seeded():
    """The same seed drops the same packets, another seed others."""
    def missing(seed):
        with Line(seed=seed) as l:
            l.a.wait_ping("10.0.0.2")
            l.w.sh("true")
            # Only the numbered packets count from here: fates are drawn by frame.
            l.a.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
            l.b.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
            mac = [h.sh("cat", "/sys/class/net/eth0/address").stdout.strip() for h in (l.a, l.b)]
            l.a.ip("neigh replace 10.0.0.2 lladdr %s dev eth0 nud permanent" % mac[1])
            l.b.ip("neigh replace 10.0.0.1 lladdr %s dev eth0 nud permanent" % mac[0])
            before = l.wire.stats()["ab"]["in"]
            l.wire.set("ab", loss="2%")
            return before, l.flow(rate=1000, seconds=1, both=False)[1]["rx"]["missing"]
    runs = [missing(s) for s in (5, 5, 6)]
    if runs[0][0] == runs[1][0]:
        check(runs[0][1][:8] == runs[1][1][:8], "same seed, other fates")
    check(runs[0][1] != runs[2][1], "another seed, the same fates")


def duplication():
    with Line("--ab", "dup=5%") as l:
        ra, rb = l.flow(rate=5000, seconds=2)
        share = rb["rx"]["duplicates"] / ra["tx"]["sent"]
        check(0.03 < share < 0.07, "%.3f twice, wanted 0.05" % share)
        check(rb["rx"]["lost"] == 0 and ra["rx"]["duplicates"] == 0, (ra, rb))


def reordering():
    with Line("--ab", "reorder=5%,hold=5ms") as l:
        ra, rb = l.flow(rate=5000, seconds=2)
        share = rb["rx"]["reordered"] / ra["tx"]["sent"]
        check(0.03 < share < 0.07, "%.3f out of order, wanted 0.05" % share)
        check(rb["rx"]["lost"] == 0 and ra["rx"]["reordered"] == 0, (ra, rb))


def rate_and_queue():
    """10 Mbit/s pass of 20 offered; the queue's length is what a packet waits at most."""
    with Line("--ab", "rate=10mbit,queue=25k") as l:
        l.a.wait_ping("10.0.0.2")
        # 1,000 B of IP are 1,014 B of frame: 1,233 frames fill 10 Mbit.
        ra, rb = l.flow(rate=2466, seconds=3, size=1000)
        mbit = rb["rx"]["unique"] * 1014 * 8 / 1e6 / ra["tx"]["seconds"]
        check(9.5 < mbit < 10.6, "%.2f Mbit/s passed, wanted 10" % mbit)
        check(ra["rx"]["lost"] == 0, "the other direction lost %d" % ra["rx"]["lost"])
        check(l.wire.stats()["ab"]["queue_drops"] > 0, "no drop was counted")
        return "%.2f Mbit/s" % mbit


def cut_and_heal():
    with Line() as l:
        l.a.wait_ping("10.0.0.2")
        l.wire.cut()
        check(l.a.ping("10.0.0.2", 3, 0.3)[0] == 0, "a reply through a cut wire")
        check(l.wire.stats()["ab"]["cut"] > 0, "nothing was counted as cut")
        l.wire.heal()
        check(l.a.wait_ping("10.0.0.2", 5) < 5, "not healed")


def bad_options():
    with Line() as l:
        for bad in ("set ab loss=200%", "set ab nonsense=1", "set xy loss=1%", "set ab delay",
                    "set ab delay=1h", "fly"):
            try:
                l.wire.ask(bad)
            except Exception:
                continue
            check(False, "took '%s'" % bad)


def end_report():
    """SIGTERM ends it with its counters as JSON."""
    with Line() as l:
        l.a.ping("10.0.0.2", 3)
        check(l.wire.proc.stop() == 0, "exit %s" % l.wire.proc.p.returncode)
        with open(l.wire.out) as f:
            got = json.load(f)
        check(got["ab"]["in"] >= 3 and got["ba"]["out"] >= 3, got)


CASES = [clean, bulk_tcp, delay, jitter, loss, duplication, reordering, rate_and_queue]
SHORT = [seeded, cut_and_heal, bad_options, end_report]

if __name__ == "__main__":
    sys.exit(main([[(f.__name__, f)] for f in CASES] + [[(f.__name__, f) for f in SHORT]],
                  __doc__))
