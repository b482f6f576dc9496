#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the control protocol's transport speaks with the module's own: its client with
our coordinator, our client with its server, both over plain HTTP and over TLS, with an early
payload and without; what who means ill gets from the coordinator and from a server; and that
the coordinator's memory is back where it was after 100,000 hostile connections."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, helper, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

IP = "127.0.0.1"
PLAIN, TLS = "127.0.0.1:8080", "127.0.0.1:8443"
HOSTILE = 100000
KIB_MORE = 4096
# The largest message that a client takes is 256 MiB.
BOMB_MIB, CLIENT_KIB_MAX = 2000, 400 << 10


class World:
    """A namespace with nothing but its loopback."""

    def __enter__(self):
        self.lab = Lab(name="ts2021")
        try:
            self.ns = self.lab.ns("w")
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def listens(self, at):
        return ":" + at.rsplit(":", 1)[1] in self.ns.sh("ss", "-ltn").stdout

    def start_coord(self):
        """Ours, plain and over TLS; its process."""
        self.cert, key = self.lab.path("cert.pem"), self.lab.path("key.pem")
        self.socket = self.lab.path("coord.sock")
        self.ns.sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=coord", "-addext",
                   "subjectAltName=IP:" + IP, "-days", "1", "-keyout", key, "-out", self.cert)
        proc = self.ns.start("coord", [
            Causeway.program("causeway-coord"), "serve", "--listen", PLAIN, "--listen-tls", TLS,
            "--tls-cert", self.cert, "--tls-key", key, "--url", "http://" + PLAIN, "--state",
            os.path.join(self.lab.dir, "coord"), "--socket", self.socket, "--log-level", "warn"])
        wait_for(lambda: os.path.exists(self.socket) and self.listens(TLS), 15, "the coordinator")
        self.coord("users", "create", "ann")
        return proc

    def coord(self, *words):
        return json.loads(self.ns.sh(Causeway.program("causeway"), "coord", "--socket",
                                     self.socket, "--json", *words).stdout)

    def key(self, *options):
        return self.coord("keys", "create", "--user", "ann", *options)["key"]

    def metric(self, name):
        text = self.ns.sh("curl", "-sf", "--unix-socket", self.socket, "http://x/metrics").stdout
        return next(float(line.split()[1]) for line in text.splitlines()
                    if line.split()[0] == "causeway_coord_" + name)

    def theirs(self, *words, timeout=60):
        p = self.ns.sh(foreign("ts2021"), *words, check=False, timeout=timeout)
        check(p.returncode == 0, p.stdout)
        return p.stdout

    def start_theirs(self, at, *options):
        proc = self.ns.start("theirs", [foreign("ts2021"), "serve", "-at", at] + list(options))
        wait_for(lambda: self.listens(at), 15, "their server")
        return proc

    def start_ours(self, url, *options):
        """Our client; lines of what it sees."""
        state = self.lab.path("state")
        os.mkdir(state, 0o700)
        return self.ns.start("ours", [
            helper("mesh_join"), "--url", url, "--state", state, "--hostname", "ours"] +
            list(options), stdout=self.lab.path("ours.out"))


def memory(pid, member):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith(member + ":"))


def their_client_over_plain_and_tls():
    with World() as w:
        w.start_coord()
        out = w.theirs("join", "-at", PLAIN, "-key", w.key())
        check("joined theirs.mesh.internal. [100.64." in out, out)
        out = w.theirs("join", "-at", TLS, "-ca", w.cert, "-key", w.key())
        check("joined theirs-1.mesh.internal. [100.64." in out, out)
        check(len(w.coord("nodes", "list")) == 2, w.coord("nodes", "list"))


def our_client(scheme, at, *options):
    def case():
        with World() as w:
            cert = w.lab.path("theirs.pem")
            theirs = w.start_theirs(at, *(["-tls", "-cert", cert] if scheme == "https" else []),
                                    *options)
            ours = w.start_ours("%s://%s" % (scheme, at),
                                *(["--ca", cert] if scheme == "https" else []))
            wait_for(lambda: "map self=ours addr=100.64.0.9 peers=0" in ours.output(), 10,
                     "a map: " + ours.log())
            check("tls=%s" % ("true" if scheme == "https" else "false") in theirs.log(),
                  theirs.log())
            check(ours.stop() == 0, ours.log())
            wait_for(lambda: "stream over" in theirs.log(), 5, "the end of the stream")
    return case


def a_bomb_for_our_client():
    """A message that is 2,000 MiB inflated is refused on the way; the client comes back."""
    with World() as w:
        theirs = w.start_theirs(PLAIN, "-bomb", BOMB_MIB)
        ours = w.start_ours("http://" + PLAIN)
        wait_for(lambda: theirs.log().count("bomb sent") >= 2, 60,
                 "a second stream after the bomb: " + theirs.log() + ours.log())
        check(ours.running(), ours.log())
        peak = memory(ours.pid, "VmHWM")
        check(peak < CLIENT_KIB_MAX, "%d KiB resident" % peak)
        check("map self=ours" in ours.output(), ours.output())
        return "%d MiB resident at most" % (peak >> 10)


def who_means_ill_gets_nothing():
    with World() as w:
        w.start_coord()
        out = w.theirs("abuse", "-at", PLAIN, "-key", w.key())
        for word in ("other-machine refused", "replayed register", "stolen machine key",
                     "bodies: refused"):
            check(word in out, out)
        check([n["name"] for n in w.coord("nodes", "list")] == ["victim"],
              w.coord("nodes", "list"))


def a_hundred_thousand_hostile_connections():
    with World() as w:
        coord = w.start_coord()

        def wave(n):
            out = w.theirs("hostile", "-at", PLAIN, "-n", n, timeout=240)
            check("of them 0 failed" in out, out)
            wait_for(lambda: w.metric("connections") == 0 and
                     w.metric("connections_pending") == 0, 15, "the last to go")
            return memory(coord.pid, "VmRSS")

        # The allocator's own and the libraries' first.
        before = wave(HOSTILE // 10)
        after = wave(HOSTILE - HOSTILE // 10)
        check(after < before + KIB_MORE, "%d KiB, then %d KiB" % (before, after))
        check(w.metric('connections_total') >= HOSTILE, "too few came")
        files = len(os.listdir("/proc/%d/fd" % coord.pid))
        check(files < 64, "%d files are open" % files)
        out = w.theirs("join", "-at", PLAIN, "-key", w.key())
        check("joined theirs." in out, out)
        return "%d KiB, then %d KiB" % (before, after)


if __name__ == "__main__":
    sys.exit(main([[
        ("their-client-over-plain-and-tls", their_client_over_plain_and_tls),
        ("our-client-over-plain", our_client("http", PLAIN)),
        ("our-client-over-tls", our_client("https", TLS)),
        ("our-client-and-an-early-payload", our_client("http", PLAIN, "-early")),
        ("our-client-and-an-early-payload-over-tls", our_client("https", TLS, "-early")),
        ("a-bomb-for-our-client", a_bomb_for_our_client),
        ("who-means-ill-gets-nothing", who_means_ill_gets_nothing),
        ("a-hundred-thousand-hostile-connections", a_hundred_thousand_hostile_connections),
    ]], __doc__))
