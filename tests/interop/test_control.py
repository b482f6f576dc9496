#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that our side of the control protocol joins a coordinator that others wrote (the
module's testcontrol) beside a stock tailscaled: keys, a login at a URL, TLS, what changes in the
mesh, expired keys, a coordinator that goes and comes, a start without it.

mesh_join (tests/lab/mesh_join.c) is causewayd's control side alone; each line of its output is
an event."""

import os
import re
import shutil
import stat
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, helper, wait_for  # noqa: E402
from nodes import foreign  # noqa: E402

IP = "10.254.0.1"


class World:
    """One namespace with a coordinator in it; nodes are on its loopback."""

    def __init__(self, *control_options):
        self.lab = Lab(name="control")
        try:
            self.ns = self.lab.ns("w")
            # A private address: over plain http stock nodes insist on port 443 otherwise. And
            # they send nothing while only the loopback is up.
            self.ns.ip("link add d0 type veth peer name d1", "addr add %s/24 dev d0" % IP,
                       "link set d0 up", "link set d1 up")
            self.cert = self.lab.path("cert.pem")
            self.options = control_options
            self.joins = 0
            self.start_control()
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def start_control(self):
        self.control = self.ns.start("control", [
            foreign("control"), "-ip", IP, "-tls-port", 8443, "-cert", self.cert] +
            list(self.options))
        wait_for(lambda: ":8443" in self.ns.sh("ss", "-ltn").stdout, 15, "the coordinator")

    def post(self, path):
        self.ns.sh("curl", "-sf", "-X", "POST", "http://%s:8080%s" % (IP, path))

    def join(self, name, *options, url="http://%s:8080" % IP):
        return Join(self, name, options, url)


class Join:
    """A node of ours: its events so far, in order."""

    def __init__(self, world, name, options, url):
        self.world, self.name = world, name
        self.state = os.path.join(world.lab.dir, "state-" + name)
        if not os.path.exists(self.state):
            os.mkdir(self.state, 0o700)
        world.joins += 1
        self.proc = world.ns.start("join-%s-%d" % (name, world.joins), [
            helper("mesh_join"), "--url", url, "--state", self.state, "--hostname", name] +
            list(options), stdout=world.lab.path("join-%s-%d.out" % (name, world.joins)))

    def events(self):
        return self.proc.output().splitlines()

    def see(self, pattern, seconds=5, what=None):
        """The first event that matches."""
        def found():
            if not self.proc.running():
                raise AssertionError("%s ended: %s" % (self.name, self.proc.log()))
            return next((m for m in (re.search(pattern, e) for e in self.events()) if m), None)
        try:
            return wait_for(found, seconds, what or "%s: %s" % (self.name, pattern))
        except Exception as e:
            raise AssertionError("%s\n%s\n%s" % (e, "\n".join(self.events()), self.proc.log()))

    def map(self):
        """The newest picture, a dict."""
        last = [e for e in self.events() if e.startswith("map ")][-1]
        return dict(x.split("=", 1) for x in last.split()[1:])

    def wait_map(self, seconds=5, **want):
        def right():
            return any(e.startswith("map ") for e in self.events()) and all(
                self.map().get(k) == v for k, v in want.items())
        try:
            wait_for(right, seconds, "a picture with %s" % want)
        except Exception as e:
            raise AssertionError("%s\n%s\n%s" % (e, "\n".join(self.events()), self.proc.log()))

    def stop(self):
        code = self.proc.stop()
        check(code == 0, "exit %s: %s" % (code, self.proc.log()))


def two_see_each_other():
    with World() as w:
        one = w.join("one", "--route", "10.5.0.0/16", "--endpoint", "192.0.2.1:7")
        t0 = time.monotonic()
        one.see(r"^map self=one .*peers=0 .*filter=rules:1")
        two = w.join("two")
        two.see(r"^map self=two .*peers=1 .*names=one .*10\.5\.0\.0/16")
        one.wait_map(peers="1", names="two", online="1")
        took = time.monotonic() - t0
        two.stop()
        one.stop()
        mode = stat.S_IMODE(os.stat(os.path.join(one.state, "mesh.keys")).st_mode)
        check(mode == 0o600, "mesh.keys has mode %o" % mode)
        return "%.1f s" % took


def beside_stock():
    """Each has the other in its map, under its name and address."""
    with World() as w:
        ours = w.join("ours", "--endpoint", "192.0.2.1:7")
        ours.see(r"^map self=ours")
        state = os.path.join(w.lab.dir, "stock")
        os.mkdir(state, 0o700)
        sock = os.path.join(state, "sock")
        w.ns.start("tailscaled", [
            foreign("tailscaled"), "--statedir=" + state, "--state=" + state + "/state",
            "--socket=" + sock, "--tun=userspace-networking", "--port=0"],
            env={"TS_NO_LOGS_NO_SUPPORT": "true"})
        wait_for(lambda: os.path.exists(sock), 15, "tailscaled's socket")
        cli = [foreign("tailscale"), "--socket=" + sock]
        w.ns.sh(*cli, "up", "--login-server=http://%s:8080" % IP, "--hostname=stock",
                "--timeout=20s", timeout=30)
        ours.wait_map(10, peers="1", names="stock")
        status = w.ns.sh(*cli, "status").stdout
        addr = ours.map()["addr"]
        check(re.search(r"^%s\s+ours\b" % re.escape(addr), status, re.M), status)
        ours.stop()


def at_a_url():
    with World("-auth") as w:
        one = w.join("one")
        url = one.see(r"^url (\S+)").group(1)
        time.sleep(0.5)
        check(not any(e.startswith("login in=1") for e in one.events()), "logged in already")
        w.post("/lab/complete?url=" + url)
        one.see(r"^login in=1")
        one.see(r"^map self=one")
        one.stop()


def with_a_key():
    with World("-auth-key", "tskey-auth-good") as w:
        bad = w.join("bad", "--auth-key", "tskey-auth-bad")
        why = bad.see(r'^login in=0 why="(.+)"').group(1)
        check("invalid authkey" in why, why)
        bad.stop()
        good = w.join("good", "--auth-key", "tskey-auth-good")
        good.see(r"^map self=good")
        good.stop()
        # Again, without it: registered is registered.
        again = w.join("good", "--auth-key", "tskey-auth-good")
        again.see(r"^map self=good")
        check(again.map()["addr"] == good.map()["addr"], "another address")
        again.stop()


def over_tls():
    """The key comes over a connection whose certificate counts."""
    with World() as w:
        url = "https://%s:8443" % IP
        right = w.join("right", "--ca", w.cert, url=url)
        right.see(r"^map self=right")
        right.stop()
        wrong = w.join("wrong", url=url)
        why = wrong.see(r'^login in=0 why="(.+)"').group(1)
        check("certificate" in why and "self-signed" in why, why)
        check(not any(e.startswith("map") for e in wrong.events()), "a map all the same")
        wrong.stop()


def key_expired():
    """The picture says so; a new login takes another key and keeps the address."""
    with World() as w:
        one = w.join("one")
        one.see(r"^map self=one")
        addr = one.map()["addr"]
        w.post("/lab/expire?on=true")
        one.see(r'^login in=1 why="the node key has expired"')
        one.wait_map(expired="1")
        one.stop()
        with open(os.path.join(one.state, "mesh.keys")) as f:
            before = f.read()
        w.post("/lab/expire?on=false")
        again = w.join("one", "--force")
        again.see(r"^map self=one")
        again.wait_map(expired="0", addr=addr)
        with open(os.path.join(one.state, "mesh.keys")) as f:
            after = f.read()
        check(before.split('"NodeKey"')[0] == after.split('"NodeKey"')[0], "the machine key changed")
        check(before != after, "the node key did not change")
        again.stop()


def logged_out():
    with World() as w:
        one = w.join("one", "--logout")
        one.see(r'^login in=0 why=""')
        with open(os.path.join(one.state, "mesh.keys")) as f:
            text = f.read()
        check('"NodeKey": "privkey:%s"' % ("0" * 64) in text, text.split('"NodeKey"')[1][:40])
        check(not os.path.exists(os.path.join(one.state, "netmap.json")), "the picture stays")
        one.stop()


def without_the_coordinator():
    """A node that starts alone has its mesh at once; when the coordinator is back, so is it."""
    with World() as w:
        one, two = w.join("one"), w.join("two")
        one.see(r"^map .*names=two")
        two.stop()
        one.stop()
        mode = stat.S_IMODE(os.stat(os.path.join(one.state, "netmap.json")).st_mode)
        check(mode == 0o600, "netmap.json has mode %o" % mode)
        w.control.stop()
        t0 = time.monotonic()
        alone = w.join("one")
        alone.see(r"^map self=one .*peers=1 .*names=two")
        took = time.monotonic() - t0
        alone.see(r'^login in=0 why="register request: .*refused"')
        time.sleep(2)
        tries = sum(e.startswith("login in=0") for e in alone.events())
        check(3 <= tries <= 16, "%d attempts in 2 s" % tries)
        w.start_control()
        alone.see(r"^login in=1", 10)
        alone.stop()
        return "map after %.2f s" % took


def it_goes_and_comes():
    """The stream breaks: the picture stays, and a new stream brings the next one."""
    with World() as w:
        one = w.join("one")
        one.see(r"^map self=one")
        w.control.signal(19)  # stopped: nothing answers, nothing is closed
        time.sleep(1)
        w.control.signal(18)
        two = w.join("two")
        one.wait_map(peers="1")
        w.control.stop()
        wait_for(lambda: "control.stream" in one.proc.log(), 5, "the end of the stream")
        check(one.map()["peers"] == "1", "the picture went")
        check(one.proc.running(), "it ended")
        two.stop()
        one.stop()


def damaged_state():
    """A file that does not read is told of by name and left alone."""
    with World() as w:
        one = w.join("one")
        one.see(r"^map self=one")
        one.stop()
        path = os.path.join(one.state, "mesh.keys")
        shutil.copy(path, path + ".good")
        for text in ("", "{", '{"MachineKey":"privkey:12"}'):
            with open(path, "w") as f:
                f.write(text)
            bad = w.join("one")
            check(bad.proc.wait(5) == 1, "it started")
            check(path in bad.proc.log(), bad.proc.log())
            with open(path) as f:
                check(f.read() == text, "the file was changed")
        shutil.copy(path + ".good", path)
        with open(os.path.join(one.state, "netmap.json"), "w") as f:
            f.write("[")
        good = w.join("one")
        good.see(r"^map self=one")
        check("netmap.json" in good.proc.log(), "no word of the cache")
        good.stop()


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        two_see_each_other, beside_stock, at_a_url, with_a_key, over_tls, key_expired,
        logged_out, without_the_coordinator, it_goes_and_comes, damaged_state)]], __doc__))
