# SPDX-License-Identifier: Apache-2.0
"""Load between hosts of two sites: numbered UDP, bulk TCP, and what they report."""

import json
import time

from netns import LabError, helper, tool

PAUSE_NS = 1000000000


def affordable(rate, less):
    """What a machine is asked for, as packets a second in trials that run side by side: a loss is to
    be a daemon's doing, not that of a machine at its end. less: on a CPU without AVX-512."""
    with open("/proc/cpuinfo") as f:
        return rate if "avx512f" in f.read() else less


class Udp:
    """Numbered UDP between two namespaces, both ways or one way, running by itself."""

    def __init__(self, lab, a, b, rate=10000, seconds=5.0, size=64, both=True, port=9000,
                 hosts=1, flood=False, gro=False, linger=1.0, wait=0.3, flows=None, mix=False,
                 stamps=False, tick_us=None):
        """a, b: (namespace, address). flows: more than hosts, over pairs of them; mix: of
        several sizes. wait: seconds before the first packet, or (of a, of b)."""
        waits = wait if isinstance(wait, tuple) else (wait, wait)
        self.seconds = seconds + max(waits) + linger
        self.run = []
        for i, ((ns, addr), (_, to)) in enumerate(((a, b), (b, a))):
            out = lab.path("udp-%s-%d-%d.json" % (ns.short, port, time.monotonic_ns()))
            argv = [helper("traffic"), "--bind", addr, "--port", port, "--size", size, "--time",
                    seconds, "--linger", linger, "--wait", waits[i], "--hosts", hosts]
            argv += ["--to", to] if both or i == 0 else ["--listen"]
            argv += ["--flood"] if flood else ["--rate", rate]
            argv += ["--gro"] if gro else []
            argv += ["--stamps"] if stamps else []
            argv += ["--tick", tick_us] if tick_us else []
            argv += ["--flows", flows] if flows else []
            argv += ["--mix"] if mix else []
            self.run.append((ns.start("traffic", argv, stdout=out), out))

    def stop(self):
        """End it early; the report comes from wait()."""
        for p, _ in self.run:
            p.signal(15)

    def wait(self):
        """[report of a, report of b]; a receiver that never hears "done" is ended."""
        end = time.monotonic() + self.seconds + 5
        for p, _ in self.run:
            try:
                p.wait(max(0.1, end - time.monotonic()))
            except LabError:
                p.signal(15)
                p.wait(5)
        got = []
        for p, out in self.run:
            with open(out) as f:
                text = f.read()
            if not text:
                raise LabError("traffic: %s" % p.log().strip())
            got.append(json.loads(text))
        return got


def lost(reports):
    """(lost from a to b, lost from b to a) by what the senders say they sent."""
    a, b = reports
    return a["tx"]["sent"] - b["rx"]["unique"], b["tx"]["sent"] - a["rx"]["unique"]


def account(reports):
    """One line for each direction, for a failure's text."""
    a, b = reports
    out = []
    for name, tx, rx in (("a->b", a["tx"], b["rx"]), ("b->a", b["tx"], a["rx"])):
        out.append("%s sent %d got %d lost %d twice %d reordered %d gap %.0f ms missing %s" % (
            name, tx["sent"], rx["unique"], tx["sent"] - rx["unique"], rx["duplicates"],
            rx["reordered"], rx["longest_gap_ms"], rx["missing"][:4]))
    return "; ".join(out)


def lost_between(rx, rate, start_ns, from_ns, to_ns):
    """Missing numbers whose packets were due between two times (of the boot clock)."""
    n = 0
    for first, count in rx["missing"]:
        t0 = start_ns + first / rate * 1e9
        t1 = start_ns + (first + count) / rate * 1e9
        if t1 >= from_ns and t0 <= to_ns:
            n += count
    return n


def tcp(client, server, address, seconds=2.0, port=5201, streams=1, congestion=None,
        cpus=None):
    """iperf3 from client to server: its JSON document. cpus: the client's and the server's."""
    tool("iperf3")
    # It cuts fractions off, and 0 means for ever.
    seconds = max(1, round(seconds))
    on = [["taskset", "-c", str(c)] for c in cpus] if cpus else [[], []]
    srv = server.start("iperf3", on[1] + ["iperf3", "-s", "-1", "-p", port])
    try:
        for _ in range(50):
            if ":%d" % port in server.sh("ss", "-Hltn").stdout:
                break
            time.sleep(0.02)
        p = client.sh(*on[0], "iperf3", "-c", address, "-p", port, "-t", seconds, "-P", streams,
                      "-J", "--connect-timeout", 3000,
                      *(["-C", congestion] if congestion else []),
                      check=False, timeout=seconds + 20)
        doc = json.loads(p.stdout)
        if "error" in doc:
            raise LabError("iperf3 %s -> %s: %s" % (client.short, address, doc["error"]))
        return doc
    finally:
        srv.stop(1)


def tcp_gbit(doc):
    return doc["end"]["sum_received"]["bits_per_second"] / 1e9
