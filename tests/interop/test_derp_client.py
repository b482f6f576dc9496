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

    def homes(self, port):
        """How many clients have this relay of stock as their home."""
        text = self.ns.sh("curl", "-sk", "https://127.0.0.1:%d/debug/vars" % port).stdout
        return json.loads(text)["derp"]["gauge_current_home_connections"]


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


def certificates():
    """Pins and names: what fits is taken, for the rest the error says what is wrong."""
    with Bench("certs") as b:
        _, pin = b.ours()
        ca, names = authority(b, "relay.example")
        b.ours("--tls-cert", names + ".crt", "--tls-key", names + ".key", port=PORT + 1)
        by_name = dict(IPv4=ADDR, port=PORT + 1, host="relay.example")
        for m, args, want in (
                (node(pin=pin), (), ""),
                (node(pin="sha256-raw:" + "0" * 64), (), r"900a: TLS: .* not the pinned one, but " +
                 pin),
                (node(pin=pin, host="other.example", IPv4=ADDR), (), r"not for the relay's name"),
                (node(), ("--ca", ca), r"certificate of .*self.signed"),
                (node(InsecureForTests=True), ("--ca", ca), ""),
                (node(pin="sha256-raw:" + "0" * 64, InsecureForTests=True), (), r"not the pinned"),
                (node(**by_name), ("--ca", ca), ""),
                (node(**by_name), (), r"certificate of .*issuer"),
                (node(**dict(by_name, host="another.example")), ("--ca", ca), r"ostname mismatch"),
                # Another name is sent than is expected.
                (node(pin="relay.example", **dict(by_name, host="front.example")), ("--ca", ca),
                 ""),
                (node(pin="no.example", **by_name), ("--ca", ca), r"ostname mismatch")):
            c = b.client(*args).use(derp_map([m]))
            if want:
                why = c.fails()
                check(re.search(want, why), "%s: %s" % (m, why))
            else:
                c.connected()
            c.quit()
        # TLS 1.2 shows certificates to all, so nobody looks for a key in them: no fast start.
        conf = b.lab.path("openssl.cnf")
        with open(conf, "w") as f:
            f.write("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                    "MaxProtocol = TLSv1.2\n")
        m = derp_map([node(pin=pin)])
        old = b.client(env={"OPENSSL_CONF": conf}).use(m).connected()
        talk(old, b.client().use(m).connected())


def authority(b, name):
    """A CA's file, and where a certificate for this name lies."""
    ca, leaf = b.lab.path("ca"), b.lab.path("leaf")
    with open(leaf + ".ext", "w") as f:
        f.write("subjectAltName=DNS:%s" % name)
    for argv in (["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-days", "2", "-subj", "/CN=lab", "-keyout", ca + ".key", "-out", ca + ".crt"],
                 ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                  "/CN=none", "-keyout", leaf + ".key", "-out", leaf + ".csr"],
                 ["x509", "-req", "-days", "2", "-in", leaf + ".csr", "-CA", ca + ".crt", "-CAkey",
                  ca + ".key", "-CAcreateserial", "-extfile", leaf + ".ext", "-out",
                  leaf + ".crt"]):
        b.ns.sh("openssl", *argv)
    return ca + ".crt", leaf


def inside_proxy(port, auth):
    """Passes on what CONNECT asks for, and says so; 407 without the right user."""
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(c):
        head = b""
        while b"\r\n\r\n" not in head:
            head += c.recv(4096)
        print(head.decode().replace("\r\n", "|"), flush=True)
        target = head.split()[1].decode()
        if auth and ("Proxy-Authorization: Basic " + auth).encode() not in head:
            c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            c.close()
            return
        host, _, to = target.rpartition(":")
        up = socket.create_connection((host.strip("[]"), int(to)), 5)
        c.sendall(b"HTTP/1.1 200 Connection established\r\nVia: lab\r\n\r\n")
        threading.Thread(target=pump, args=(c, up), daemon=True).start()
        pump(up, c)
    s = socket.create_server((ADDR, int(port)))
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()


def proxies():
    """CONNECT with a user, to relays that one cannot reach otherwise."""
    with Bench("proxy") as b:
        _, pin = b.stock()
        _, pin2 = b.ours(port=PORT + 1)
        auth = base64.b64encode(b"user:p@ss").decode()
        out = b.lab.path("proxy.out")
        proxy = b.ns.start("proxy", [sys.executable, os.path.abspath(__file__), "--inside", "proxy",
                                     PROXY_PORT, auth], stdout=out)
        b.listens(PROXY_PORT, proxy)
        url = "http://user:p%%40ss@%s:%d" % (ADDR, PROXY_PORT)
        # The map's address is for who goes directly: the proxy gets the name.
        m = derp_map([node(pin=pin, IPv4="192.0.2.1")], [node(pin=pin2, port=PORT + 1)])
        x = b.client(env={"HTTPS_PROXY": url}).use(m).connected()
        y = b.client(env={"all_proxy": url}).use(m, home=901).connected(901)
        x.tell("send", 901, y.key, "through")
        y.expect(r"^packet region=901 .* text=\"through")
        y.tell("send", 900, x.key, "back")
        x.expect(r"^packet region=901 .* text=\"back")
        x.tell("latency", 901)
        x.expect(r"^latency region=901 ns=[1-9]\d+ remote=%s:%d" % (ADDR, PROXY_PORT))
        got = proxy.output()
        for port in (PORT, PORT + 1):
            check("CONNECT %s:%d HTTP/1.1|Host: %s:%d|" % (ADDR, port, ADDR, port) in got, got)
        for env, want in (({"HTTPS_PROXY": url.replace("p%40ss", "wrong")},
                           r"proxy %s: HTTP/1.1 407" % ADDR),
                          ({"HTTPS_PROXY": "http://%s:1" % ADDR}, r"proxy .* cannot connect"),
                          ({"HTTPS_PROXY": "https://x"}, r"HTTPS_PROXY: only an http://")):
            c = b.client(env=env).use(m)
            why = c.fails()
            check(re.search(want, why), why)
            check("wrong" not in why + c.proc.log(), "the password is told")
            c.quit()
        # An exception: directly, and so not at all.
        c = b.client(env={"HTTPS_PROXY": url, "NO_PROXY": "x, %s/24" % ADDR}).use(m)
        why = c.fails()
        check("unreachable" in why and "proxy" not in why, why)
        c.quit()


def comes_back(name, whose):
    """A relay is killed and started 6 s later: packets flow again soon after."""
    with Bench(name) as b:
        relay, pin = b.relay(whose)
        m = derp_map([node(pin=pin)])
        x, y = b.client().use(m).connected(), b.client().use(m).connected()
        talk(x, y)
        relay.kill()
        for c in (x, y):
            c.fails(2)
        time.sleep(6)
        relay, again = b.relay(whose)
        check(again == pin, "another certificate")
        up = time.monotonic()
        # What is sent meanwhile waits.
        x.tell("send", 900, y.key, "waited")
        for c in (x, y):
            c.connected(900, 10)
        talk(x, y)
        took = time.monotonic() - up
        check(took < 6, "%.1f s after the relay's return" % took)
        check(x.counters()["breaks"] == 1, "breaks")
        return "%.1f s after it listens again" % took


def stock_comes_back():
    return comes_back("back-stock", "stock")


def ours_comes_back():
    return comes_back("back-ours", "ours")


def restarting():
    """A relay that says so is left alone for a second and then tried often."""
    with Bench("restart") as b:
        relay, pin = b.ours()
        x = b.client().use(derp_map([node(pin=pin)])).connected()
        check(relay.stop() == 0, "exit code")
        gone = time.monotonic()
        x.fails(3)
        time.sleep(4)
        b.ours()
        up = time.monotonic()
        x.connected(900, 5)
        took, fails = time.monotonic() - up, x.counters()["fails"]
        check(took < 2, "%.1f s" % took)
        check(fails <= (up - gone) / 0.5 + 2, "%d tries in %.1f s" % (fails, up - gone))
        return "%.1f s after its return, %d tries before" % (took, fails)


def link_cut():
    """Nothing gets through, and nobody is told: noticed in 14 s, and soon back."""
    with Bench("cut") as b:
        _, pin = b.ours()
        x = b.client().use(derp_map([node(pin=pin)])).connected()
        b.ns.nft("table inet cut { chain i { type filter hook input priority 0\n"
                 "tcp sport %d drop\ntcp dport %d drop\n}\n}\n" % (PORT, PORT))
        start = time.monotonic()
        x.tell("send", 900, x.key, "into the void")
        x.fails(18)
        noticed = time.monotonic() - start
        b.ns.sh("nft", "delete", "table", "inet", "cut")
        healed = time.monotonic()
        x.connected(900, 6)
        return "noticed after %.1f s, back %.1f s after it healed" % (noticed,
                                                                     time.monotonic() - healed)


def network_changed():
    """Asked whether it is still there, a relay has 3 s: one is, one is not."""
    with Bench("changed") as b:
        relay, pin = b.stock()
        x = b.client().use(derp_map([node(pin=pin)])).connected()
        x.tell("changed")
        x.never("^state", 4)
        relay.signal(19)
        x.tell("changed")
        start = time.monotonic()
        check("answers no ping" in x.fails(5), "why")
        took = time.monotonic() - start
        check(2.5 < took < 4.5, "%.1f s" % took)
        relay.signal(18)
        x.connected(900, 15)


def relays_in_order():
    """The first of a region that can be had; what is no relay, or off, is passed over."""
    with Bench("order") as b:
        _, pin = b.stock()
        good = node("900d", pin=pin)
        m = derp_map([node("900a", pin=pin, STUNOnly=True), node("900b", pin=pin, port=PORT + 9),
                      node("900c", pin=pin, IPv4="none"), good])
        x = b.client().use(m).connected()
        x.ask("list", r"^region 900 home=1 connected=1 node=900d ")
        check(x.counters()["fails"] == 2, x.counters())
        # The same relays under a new map: the connection stays. Others: it goes.
        m["Regions"]["900"]["RegionCode"] = "new"
        x.use(m)
        x.never("^state")
        m["Regions"]["900"]["Nodes"] = [node("900e", pin=pin)]
        x.use(m, home=0)
        check("map has changed" in x.fails(), "why")
        x.connected()
        x.use({"Regions": {}}, home=0)
        check("map has changed" in x.fails(), "why")
        x.tell("send", 900, x.key, "nowhere")
        x.expect(r"^sent rc=-101$")
        # IPv6 alone, by a literal and by the map.
        for n in (node(pin=pin, host="fd09::1", IPv6=""),
                  node(pin=pin, IPv4="none", IPv6="fd09::1")):
            x.use(derp_map([n])).connected()
            x.use({"Regions": {}}, home=0)
            x.fails()


def on_demand():
    """Another region's connection comes with the first packet and goes with the last one."""
    with Bench("demand") as b:
        _, pin = b.ours()
        _, pin2 = b.stock(port=PORT + 1)
        m = derp_map([node(pin=pin)], [node(pin=pin2, port=PORT + 1)])
        x = b.client("--idle-ms", 1500).use(m).connected()
        y = b.client().use(m, home=901).connected(901)
        x.tell("send", 901, y.key, "first")
        x.connected(901)
        y.expect(r'^packet region=901 from=%s .* text="first"' % x.key)
        # Heard is as good as sent.
        for _ in range(4):
            time.sleep(0.8)
            y.tell("send", 900, x.key, "stay")
            x.expect(r'^packet region=901 from=%s .* text="stay"' % y.key)
        x.never("^state")
        check(x.fails(3) == "", "a reason")
        x.ask("list", r"^region 900 home=1 connected=1 .*\nlisted")
        # The home moves: the relays are told.
        check(b.homes(PORT + 1) == 1, "homes")
        x.tell("home", 901)
        x.connected(901)
        wait_for(lambda: b.homes(PORT + 1) == 2, 3, "the home is noted")
        x.expect(r'^state region=900 connected=0 why=""', 4)
        x.tell("home", 900)
        x.connected(900)
        wait_for(lambda: b.homes(PORT + 1) == 1, 3, "it is not any more")


def same_key_twice():
    """The newest of two with one key gets what is sent to it; the other stays connected."""
    with Bench("twice") as b:
        _, pin = b.stock()
        private = genkey()[0]
        key = b.lab.path("key")
        with open(key, "w") as f:
            f.write(private + "\n")
        os.chmod(key, 0o600)
        m = derp_map([node(pin=pin)])
        x = b.client().use(m).connected()
        y1 = b.client("--key", key).use(m).connected()
        y2 = b.client("--key", key).use(m).connected()
        check(y1.key == y2.key, "other keys")
        x.tell("send", 900, y1.key, "who")
        y2.expect(r'^packet .* text="who"')
        y1.tell("send", 900, x.key, "me")
        x.expect(r'^packet .* text="me"')
        x.tell("send", 900, y1.key, "again")
        y1.expect(r'^packet .* text="again"')
        y1.never("^state", 0.2)


def slow_reader():
    """A relay that stops reading costs 256 KiB and the oldest packets."""
    with Bench("slow") as b:
        relay, pin = b.ours()
        m = derp_map([node(pin=pin)])
        x, y = b.client().use(m).connected(), b.client().use(m).connected()
        relay.signal(19)
        before = resident_kib(x.proc.pid)
        for _ in range(20):
            x.tell("burst", 900, y.key, 2000, 1400)
            x.expect(r"^sent rc=900")
        grown = resident_kib(x.proc.pid) - before
        c = x.counters()
        relay.signal(18)
        check(c["queue"] > 10000, c)
        check(grown < 8192, "%d KiB more" % grown)
        y.expect(r'^packet .* text="1999')
        x.tell("send", 900, y.key, "after")
        y.expect(r'^packet .* text="after"')
        return "%d of 40,000 dropped, %d KiB more" % (c["queue"] + c["age"], grown)


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        globals()["inside_" + sys.argv[2]](*sys.argv[3:])
        sys.exit(0)
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        stock_tls, stock_plain, ours_tls, ours_plain, certificates, proxies, stock_comes_back,
        ours_comes_back, restarting, link_cut, network_changed, relays_in_order, on_demand,
        same_key_twice, slow_reader)]], __doc__))
