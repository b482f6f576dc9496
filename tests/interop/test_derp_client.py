#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that causewayd's DERP client speaks with stock derper and with causeway-derp, over TLS and
plain, directly and through a proxy; that it comes back when a relay does; and that relays which
mean no good cost it nothing but the connection.

The client is tests/lab/derp_node, two of them where packets have to arrive."""

import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, LabError, helper, wait_for  # noqa: E402
from nodes import Causeway, foreign, genkey  # noqa: E402

PORT, PROXY_PORT = 3443, 3128
# Nobody goes through a proxy to a loopback address.
ADDR = "10.9.9.1"
MAGIC = b"DERP\xf0\x9f\x94\x91"
DISCO = "TS\U0001f4ac" + "x" * 80


class Bench:
    """A namespace for relays and their clients."""

    def __init__(self, name):
        self.lab = Lab(name="derp-" + name)
        try:
            self.ns = self.lab.ns("r")
            self.ns.ip("addr add %s/32 dev lo" % ADDR, "addr add fd09::1/128 dev lo")
            self.count = 0
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def named(self, what):
        self.count += 1
        return "%s-%d" % (what, self.count)

    def listens(self, port, proc):
        wait_for(lambda: ":%d " % port in self.ns.sh("ss", "-ltn").stdout or not proc.running(),
                 15, "port %d" % port)
        check(proc.running(), proc.log())

    def stock(self, tls=True, port=PORT):
        """derper; its CertName, or "" in plain."""
        state = self.lab.path("stock-%d" % port)
        os.makedirs(state, exist_ok=True)
        proc = self.ns.start(self.named("derper"), [
            foreign("derper"), "-c", os.path.join(state, "derper.json"), "-a", ":%d" % port,
            "-http-port", "-1", "-stun=false", "-hostname", ADDR,
            "-certmode", "manual" if tls else "letsencrypt", "-certdir", state])
        self.listens(port, proc)
        pin = re.search(r"sha256-raw:[0-9a-f]{64}", proc.log())
        return proc, pin.group(0) if pin else ""

    def ours(self, *options, tls=True, port=PORT):
        state = self.lab.path("ours-%d" % port)
        proc = self.ns.start(self.named("causeway-derp"), [
            Causeway.program("causeway-derp"), "--listen", "[::]:%d" % port, "--state", state,
            "--workers", 1] + (["--hostname", ADDR, "--self-signed"] if tls and not options else [])
            + list(options))
        self.listens(port, proc)
        pin = re.search(r"certname=(\S+)", proc.log())
        return proc, pin.group(1) if pin else ""

    def relay(self, whose, **kw):
        return self.stock(**kw) if whose == "stock" else self.ours(**kw)

    def client(self, *args, env=None):
        return Client(self, args, env)

    def metric(self, name, port=PORT):
        text = self.ns.sh("curl", "-sk", "https://127.0.0.1:%d/metrics" % port).stdout
        return int(re.search(r"^causeway_derp_%s (\d+)" % name, text, re.M).group(1))


def node(name="900a", pin="", port=PORT, host=ADDR, **more):
    n = {"Name": name, "RegionID": 900, "HostName": host, "IPv6": "none", "DERPPort": port}
    if pin:
        n["CertName"] = pin
    n.update(more)
    return n


def derp_map(*regions):
    """Each region a list of nodes; 900, 901, ..."""
    out = {}
    for i, nodes in enumerate(regions):
        out[str(900 + i)] = {"RegionID": 900 + i, "RegionCode": "r%d" % i,
                             "Nodes": [dict(n, RegionID=900 + i) for n in nodes]}
    return {"Regions": out}


class Client:
    """A derp_node; what it printed is looked through once, in order."""

    def __init__(self, bench, args, env=None):
        self.out = bench.lab.path(bench.named("node") + ".out")
        self.proc = bench.ns.start(os.path.basename(self.out)[:-4], [helper("derp_node")] +
                                   [str(a) for a in args], env=env, stdin=subprocess.PIPE,
                                   stdout=self.out)
        self.at = 0
        self.key = self.expect(r"^key (\S+)").group(1)

    def tell(self, *words):
        self.proc.p.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.proc.p.stdin.flush()

    def text(self):
        return self.proc.output()[self.at:]

    def expect(self, pattern, seconds=10):
        r = re.compile(pattern, re.M)
        try:
            m = wait_for(lambda: r.search(self.text()) or not self.proc.running(), seconds,
                         "%s: %s" % (self.proc.name, pattern), 0.01)
        except LabError as e:
            raise LabError("%s; it said:\n%s%s" % (e, self.text()[-1500:], self.proc.tail()))
        m = r.search(self.text())
        check(m, "%s ended: %s" % (self.proc.name, self.proc.tail(30)))
        self.at += m.end()
        return m

    def never(self, pattern, seconds=0.5):
        time.sleep(seconds)
        m = re.search(pattern, self.text(), re.M)
        check(not m, "%s said: %s" % (self.proc.name, m and m.group(0)))

    def use(self, m, home=900):
        self.tell("map", json.dumps(m))
        self.expect(r"^map regions=%d passed_over=0" % len(m["Regions"]))
        if home:
            self.tell("home", home)
        return self

    def connected(self, region=900, seconds=10):
        self.expect(r"^state region=%d connected=1" % region, seconds)
        return self

    def fails(self, seconds=10):
        """Why no relay takes it."""
        return self.expect(r'^state region=\d+ connected=0 why="(.*)"', seconds).group(1)

    def ask(self, what, answer):
        self.tell(what)
        return self.expect(answer)

    def counters(self):
        m = self.ask("counters", r"^counters (.*)$")
        return {k: int(v) for k, v in (x.split("=") for x in m.group(1).split())}

    def quit(self):
        self.tell("quit")
        check(self.proc.wait(5) == 0, "exit code: " + self.proc.tail(30))


def talk(a, b, region=900, rounds=3):
    """Packets both ways; the time of the quickest."""
    best = 10.0
    for i in range(rounds):
        for x, y in ((a, b), (b, a)):
            start = time.monotonic()
            x.tell("send", region, y.key, "hello-%d" % i)
            x.expect(r"^sent rc=%d" % region)
            y.expect(r'^packet region=%d from=%s len=7 text="hello-%d"' % (region, x.key, i))
            best = min(best, time.monotonic() - start)
    return best


def exchange(name, whose, tls):
    """Frames of all kinds that a node sees, against one relay."""
    with Bench(name) as b:
        relay, pin = b.relay(whose, tls=tls)
        m = derp_map([node(pin=pin)])
        args = [] if tls else ["--plain"]
        x, y = b.client(*args).use(m).connected(), b.client(*args).use(m).connected()
        took = talk(x, y)
        # As long as a relay takes, and longer.
        x.tell("burst", 900, y.key, 1, 65536)
        y.expect(r"^packet region=900 from=%s len=65536 " % x.key)
        x.tell("burst", 900, y.key, 1, 65537)
        x.expect(r"^sent rc=-90$")
        x.tell("burst", 900, y.key, 500, 100)
        y.expect(r'^packet .* text="499')
        # Who is not there, and who goes.
        x.tell("send", 900, "ab" * 32, DISCO)
        x.expect(r"^gone region=900 key=%s reason=1" % ("ab" * 32))
        check(x.ask("heard " + y.key, r"^heard (\d+)").group(1) == "900", "y was not heard")
        x.tell("latency", 900)
        ns = int(x.expect(r'^latency region=900 ns=(\d+) remote=%s:%d why=""' % (ADDR, PORT))
                 .group(1)) if tls else 0
        y.quit()
        x.expect(r"^gone region=900 key=%s reason=0" % y.key)
        check(x.ask("heard " + y.key, r"^heard (\d+)").group(1) == "0", "y is still there")
        c = x.counters()
        check(c["bad"] == c["queue"] == c["age"] == c["fails"] == c["breaks"] == 0, c)
        check(relay.running(), relay.log())
        x.quit()
        return "a packet %.1f ms, latency check %.1f ms" % (took * 1e3, ns / 1e6)


def stock_tls():
    return exchange("stock-tls", "stock", True)


def stock_plain():
    return exchange("stock-plain", "stock", False)


def ours_tls():
    return exchange("ours-tls", "ours", True)


def ours_plain():
    return exchange("ours-plain", "ours", False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        globals()["inside_" + sys.argv[2]](*sys.argv[3:])
        sys.exit(0)
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        stock_tls, stock_plain, ours_tls, ours_plain)]], __doc__))
