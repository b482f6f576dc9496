#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that causeway-derp gives tailscale.com's own DERP clients the right answer to every
frame, serves STUN and the probes, and that bad and slow clients cost only themselves.

derpclient (tests/interop/derpclient) holds what is asked with the module's clients, a case a run."""

import os
import re
import select
import socket
import ssl
import stat
import struct
import subprocess
import sys
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, Skip, build_dir, run, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

PORT, STUN = 3443, 3478
MESH = "0123456789abcdef" * 4
CLIENT_CASES = ("packets", "order", "tls12", "tls13", "fast-start", "region-ping", "wrong-pin",
                "ping", "skipped", "not-here", "gone", "duplicates", "watch", "forward",
                "mesh-only", "bad-lengths", "truncated", "bad-hello")


class Relay:
    """A namespace with a relay on its loopback, self-signed, two workers."""

    def __init__(self, *options):
        self.lab = Lab(name="derp")
        try:
            self.ns = self.lab.ns("r")
            self.state = self.lab.path("state")
            self.mesh = self.lab.path("mesh.key")
            with open(self.mesh, "w") as f:
                f.write(MESH + "\n")
            self.options, self.starts = options, 0
            self.start()
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def start(self):
        self.starts += 1
        self.proc = self.ns.start("causeway-derp-%d" % self.starts, [
            Causeway.program("causeway-derp"), "--listen", "[::]:%d" % PORT,
            "--stun", "[::]:%d" % STUN, "--state", self.state, "--hostname", "127.0.0.1",
            "--self-signed", "--mesh-key-file", self.mesh, "--workers", 2] + list(self.options))
        wait_for(lambda: "daemon.start" in self.proc.log() or not self.proc.running(), 10,
                 "causeway-derp")
        check(self.proc.running(), self.proc.log())
        self.pin = re.search(r"certname=(\S+)", self.proc.log()).group(1)
        self.key = re.search(r"key=([0-9a-f]{64})", self.proc.log()).group(1)

    def client(self, *case):
        return [foreign("derpclient"), "-addr", "127.0.0.1:%d" % PORT, "-pin", self.pin, "-mesh",
                MESH] + list(case)

    def ask(self, case, timeout=30):
        r = self.ns.sh(*self.client(case), check=False, timeout=timeout)
        check(r.returncode == 0, r.stdout)
        check(self.proc.running(), "the relay ended: " + self.proc.log())
        return r.stdout.strip()

    def curl(self, path, *options):
        return self.ns.sh("curl", "-sk", "-i", "--max-time", "5", *options,
                          "https://127.0.0.1:%d%s" % (PORT, path)).stdout

    def metric(self, name):
        return int(re.search(r"^causeway_derp_%s (\d+)" % name, self.curl("/metrics"),
                             re.M).group(1))

    def resident_kib(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def script(self, name, *args, timeout=30):
        """A function of this file, run inside the namespace."""
        r = self.ns.sh(sys.executable, os.path.abspath(__file__), "--inside", name, *args,
                       check=False, timeout=timeout)
        check(r.returncode == 0, r.stdout)
        return r.stdout.strip()


def one_relay(name):
    def case():
        with Relay() as r:
            return r.ask(name)
    case.__name__ = name
    return case


def client_cases():
    """All against one relay; the first failure of each is its own."""
    out = []
    for name in CLIENT_CASES:
        out.append((name, one_relay(name)))
    return out


def probes():
    with Relay() as r:
        for path in ("/derp/probe", "/derp/latency-check"):
            for options in ((), ("-I",)):
                got = r.curl(path, *options)
                check(got.startswith("HTTP/1.1 200") and
                      "Access-Control-Allow-Origin: *" in got, got)
            check(r.curl(path, "-X", "POST").startswith("HTTP/1.1 405"), path)
        got = r.curl("/generate_204", "-H", "X-Tailscale-Challenge: a-b_c.d:1")
        check(got.startswith("HTTP/1.1 204") and
              "X-Tailscale-Response: response a-b_c.d:1\r\n" in got.replace("\n", "\r\n")
              .replace("\r\r", "\r") and "no-transform" in got, got)
        check("X-Tailscale-Response" not in r.curl(
            "/generate_204", "-H", "X-Tailscale-Challenge: a b"), "a bad challenge was answered")
        check(r.curl("/derp").startswith("HTTP/1.1 426"), "no 426")
        check(r.curl("/health").startswith("HTTP/1.1 200"), "health")
        check("causeway_derp_clients " in r.curl("/metrics"), "metrics")
        check(r.curl("/none").startswith("HTTP/1.1 404"), "no 404")
        check(r.curl("/", "-H", "X: " + "y" * 20000).startswith("HTTP/1.1 431"), "no 431")


def metrics_only_here():
    """Another host may not read the figures."""
    with Relay() as r:
        r.ns.ip("addr add 10.9.9.1/32 dev lo")
        got = r.ns.sh("curl", "-sk", "-i", "https://10.9.9.1:%d/metrics" % PORT).stdout
        check(got.startswith("HTTP/1.1 404"), got)


def keys_stay():
    with Relay() as r:
        mode = stat.S_IMODE(os.stat(os.path.join(r.state, "derp.key")).st_mode)
        check(mode == 0o600, "derp.key has mode %o" % mode)
        key, pin = r.key, r.pin
        check(r.proc.stop() == 0, "exit code")
        r.start()
        check((r.key, r.pin) == (key, pin), "another key or certificate")
        r.proc.signal(1)
        wait_for(lambda: "relay.certificate" in r.proc.log(), 5, "the reload")
        r.ask("fast-start")
        with open(os.path.join(r.state, "derp.key")) as f:
            secret = re.search(r"privkey:([0-9a-f]{64})", f.read()).group(1)
        check(secret not in r.proc.log(), "the key is in the log")


def stun_request(software=b"tailnode", crc=True):
    body = struct.pack("!HH", 0x8022, len(software)) + software
    head = struct.pack("!HHI", 1, len(body) + 8, 0x2112a442) + b"0123456789ab"
    value = (zlib.crc32(head + body) ^ 0x5354554e) & 0xffffffff
    return head + body + struct.pack("!HHI", 0x8028, 4, value if crc else 1)


def inside_stun():
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.bind((host, 0))
        s.settimeout(2)
        for bad in (b"", b"x" * 40, stun_request(b"othernod"), stun_request(crc=False),
                    b"\0" * 1400):
            s.sendto(bad, (host, STUN))
        s.sendto(stun_request(), (host, STUN))
        got, _ = s.recvfrom(2048)
        check(got[:2] == b"\x01\x01" and got[8:20] == b"0123456789ab", got.hex())
        port, = struct.unpack("!H", got[26:28])
        check(port ^ 0x2112 == s.getsockname()[1], got.hex())
        addr = socket.inet_pton(family, host)
        mask = bytes.fromhex("2112a442") + b"0123456789ab"
        check(got[28:28 + len(addr)] == bytes(a ^ b for a, b in zip(addr, mask)), got.hex())
        check(len(got) <= 44, "%d bytes" % len(got))
        s.settimeout(0.2)
        try:
            got = s.recv(2048)
            check(False, "another answer: " + got.hex())
        except socket.timeout:
            pass
        # A batch: every one is answered.
        for _ in range(50):
            s.sendto(stun_request(), (host, STUN))
        s.settimeout(2)
        for _ in range(50):
            s.recv(2048)


def stun():
    with Relay() as r:
        r.script("stun")


def slow_reader():
    with Relay() as r:
        said = r.ask("slow-reader")
        dropped = r.metric("drop_queue_total") + r.metric("drop_age_total")
        check(dropped > 1000, "%d dropped" % dropped)
        return "%s, %d dropped" % (said, dropped)


def restarting():
    with Relay() as r:
        p = r.ns.start("restarting", r.client("restarting"), stdout=r.lab.path("restarting.out"))
        wait_for(lambda: "ready" in p.output(), 5, "the client")
        check(r.proc.stop() == 0, "exit code")
        check(p.wait(5) == 0, p.output())


def tls_socket():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    return ctx.wrap_socket(socket.create_connection(("127.0.0.1", PORT), 5))


UPGRADE = b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nDerp-Fast-Start: 1\r\n\r\n"


def inside_loris():
    """A byte now and then is not enough, at any of the three steps."""
    tcp = socket.create_connection(("127.0.0.1", PORT), 5)
    http, hello = tls_socket(), tls_socket()
    hello.sendall(UPGRADE + b"\x02\x00\x00")
    http.sendall(b"GET /de")
    start, open_ = time.monotonic(), {tcp, http, hello}
    while open_ and time.monotonic() - start < 15:
        for s in select.select(list(open_), [], [], 1)[0]:
            try:
                if not s.recv(100):
                    open_.discard(s)
            except OSError:
                open_.discard(s)
        for s in list(open_):
            try:
                s.sendall(b"\x16" if s is tcp else b"a" if s is http else b"\x00")
            except OSError:
                open_.discard(s)
    took = time.monotonic() - start
    check(not open_, "%d are still open" % len(open_))
    print("cut after %.0f s" % took)


def slow_loris():
    with Relay() as r:
        said = r.script("loris")
        check(r.metric("timed_out_total") >= 1, "none counted")
        r.ask("ping")
        return said


def inside_hostile(count):
    """Each of them something else that is no client; none is closed by us first."""
    rows = [b"", b"\x16\x03\x01\x40\x00" + b"a" * 500, b"GET / HTTP/1.1\r\n\r\n", os.urandom(300)]
    inner = [b"GET /derp HTTP/1.1\r\nX: " + b"y" * 9000, UPGRADE, UPGRADE + b"\x02\x00\x00\x20\x00" +
             b"z" * 8000, UPGRADE + b"\x04\x00\x01\x00\x20" + b"q" * 9000, b"\0" * 1000]
    held = []
    for i in range(int(count)):
        if i % 2:
            s = socket.create_connection(("127.0.0.1", PORT), 5)
            what = rows[i // 2 % len(rows)]
        else:
            s = tls_socket()
            what = inner[i // 2 % len(inner)]
        try:
            s.sendall(what)
        except OSError:
            pass
        held.append(s)
    print("ready", flush=True)
    sys.stdin.read()


def inside_flood(count):
    """So many, a few at a time, most of them plain TCP; some end with a reset."""
    rows = [b"", b"\x16\x03\x01\x40\x00" + b"a" * 500, b"GET / HTTP/1.1\r\n\r\n", os.urandom(300),
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"]
    inner = [b"GET /derp HTTP/1.1\r\nX: " + b"y" * 9000, UPGRADE + b"\x02\x00\x00\x20\x00" + b"z" * 8000,
             UPGRADE + b"\x02\x00\x00\x00\x78" + b"q" * 60, b"\0" * 1000]
    held = []
    for i in range(int(count)):
        s = tls_socket() if i % 25 == 0 else socket.create_connection(("127.0.0.1", PORT), 5)
        if i % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            s.sendall(inner[i // 25 % len(inner)] if i % 25 == 0 else rows[i % len(rows)])
        except OSError:
            pass
        held.append(s)
        if len(held) > 100:
            held.pop(0).close()


def flood():
    """10^5 hostile connections: a client beside them is served, and the memory comes back."""
    with Relay() as r:
        r.ask("packets")
        before, each = r.resident_kib(), 25000
        t0 = time.monotonic()
        parts = [r.ns.start("flood%d" % i, [sys.executable, os.path.abspath(__file__), "--inside",
                                            "flood", str(each)]) for i in range(4)]
        r.ask("packets")
        for p in parts:
            check(p.wait(250) == 0, p.log())
        took = time.monotonic() - t0
        wait_for(lambda: r.metric("clients") == 1, 15, "they are gone")
        accepted = r.metric("accepted_total") + r.metric("refused_total")
        check(accepted >= 4 * each, "%d were accepted" % accepted)
        wait_for(lambda: r.resident_kib() < before + 6144, 5, "the memory of 10^5")
        r.ask("packets")
        return "%d in %.0f s, %d KiB before, %d after" % (accepted, took, before, r.resident_kib())


def hostile():
    """1,000 that mean no good: a client beside them is served, and the memory comes back."""
    with Relay() as r:
        def wave():
            p = r.ns.start("hostile", [sys.executable, os.path.abspath(__file__), "--inside",
                                       "hostile", "1000"], stdin=subprocess.PIPE,
                           stdout=r.lab.path("hostile.out"))
            wait_for(lambda: "ready" in p.output() or not p.running(), 30, "1,000 connections")
            check(p.running(), p.log())
            r.ask("packets")
            p.kill()
            wait_for(lambda: r.metric("clients") == 1, 15, "they are gone")
        r.ask("packets")
        before = r.resident_kib()
        wave()
        wait_for(lambda: r.resident_kib() < before + 6144, 5, "the memory of 1,000")
        wave()
        wait_for(lambda: r.resident_kib() < before + 6144, 5, "the memory of 2,000")
        return "%d KiB before, %d after" % (before, r.resident_kib())


def keep_alive():
    with Relay() as r:
        return r.ask("keep-alive", 80)


def quiet_memory():
    """What a client costs that says nothing; another is served beside 5,000 of them."""
    load = os.path.join(build_dir(), "perf", "derp_load")
    if not os.access(load, os.X_OK):
        raise Skip("%s (build it: ninja -C %s perf/derp_load)" % (load, build_dir()))
    with Relay() as r:
        r.ask("packets")
        before, count = r.resident_kib(), 5000
        p = r.ns.start("crowd", [load, "--connect", "127.0.0.1:%d" % PORT, "--tls", "--quiet",
                                 str(count)], stdin=subprocess.PIPE, stdout=r.lab.path("crowd.out"))
        wait_for(lambda: "ready" in p.output() or not p.running(), 120, "%d clients" % count)
        check(p.running(), p.log())
        check(r.metric("clients") == count + 1, "%d clients" % r.metric("clients"))
        each = (r.resident_kib() - before) / count
        r.ask("packets")
        p.p.stdin.close()
        check(p.wait(20) == 0, p.log())
        wait_for(lambda: r.metric("clients") == 1, 15, "they are gone")
        check(each <= 24, "%.1f KiB a client" % each)
        return "%.1f KiB a client" % each


def options():
    """What is wrong in a configuration is told with its place and the nearest name."""
    program = Causeway.program("causeway-derp")
    with Lab(name="derp options") as lab:
        path = lab.path("derp.hujson")

        def say(text, *more):
            with open(path, "w") as f:
                f.write(text)
            return run([program, "--config", path, "--check"] + list(more), check=False)
        good = say('{"listen": ["127.0.0.1:1", "[::1]:1"], /* two */ "stun": "127.0.0.1:2",}')
        check(good.returncode == 0, good.stdout)
        for text, want in (('{"lisen": "127.0.0.1:1"}', r":1:2: .*listen"),
                           ('{"listen": "x"}', r':1:12: "x" is not ADDR:PORT'),
                           ('{"listen":"127.0.0.1:1",\n "workers": 0}', r":2:13: "),
                           ('{"listen":"127.0.0.1:1","tls_cert":"a"}', r"go together"),
                           ('{"self_signed":true,"listen":"127.0.0.1:1"}', r"needs --hostname"),
                           ("{}", r"--listen is missing"), ("{", r":1:2: ")):
            bad = say(text)
            check(bad.returncode == 1 and re.search(want, bad.stdout),
                  "%s: %d %s" % (text, bad.returncode, bad.stdout))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        globals()["inside_" + sys.argv[2]](*sys.argv[3:])
        sys.exit(0)
    sys.exit(main([client_cases(), [(f.__name__.replace("_", "-"), f) for f in (
        probes, metrics_only_here, keys_stay, stun, slow_reader, restarting, slow_loris, keep_alive,
        options)], [("hostile", hostile), ("flood", flood)],
        [("quiet-memory", quiet_memory)]], __doc__))
