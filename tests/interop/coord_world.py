# SPDX-License-Identifier: Apache-2.0
"""causeway-coord and causeway-derp with stock nodes around them: what the tests of the coordinator share."""

import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import Failed, check  # noqa: E402
from netns import Lab, run, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

# Private: over plain http on a public one stock nodes insist on port 443.
IP = "10.254.1.1"
URL = "http://%s:8080" % IP
TLS_URL = "https://%s:8443" % IP
DERP_MAP = {"Regions": {"1": {"RegionID": 1, "RegionCode": "test", "RegionName": "test", "Nodes": [
    {"Name": "1a", "RegionID": 1, "HostName": IP, "IPv4": IP, "IPv6": "none", "DERPPort": 3443,
     "STUNPort": 3478, "STUNTestIP": IP, "InsecureForTests": True}]}}}


class World:
    """One namespace with causeway-coord in it; nodes run in userspace beside it, or each in a
    site of its own (site())."""

    def __init__(self, *options, relay=True, policy="{}"):
        self.lab = Lab(name="coord")
        self.options = list(options)
        # {}: everybody may reach everybody. None: no policy, so nobody may.
        if policy is not None:
            with open(self.lab.path("policy.hujson"), "w") as f:
                f.write(policy)
            self.options += ["--policy", self.lab.path("policy.hujson")]
        self.url = URL
        try:
            self.ns = self.lab.ns("w")
            # Stock nodes send nothing while only the loopback is up.
            self.ns.ip("link add d0 type veth peer name d1", "addr add %s/24 dev d0" % IP,
                       "link set d0 up", "link set d1 up")
            self.socket = self.lab.path("coord.sock")
            self.starts = self.relay_starts = self.sites = 0
            # A stock node runs only with a relay.
            if relay:
                self.start_relay()
            with open(self.lab.path("derp.json"), "w") as f:
                json.dump(DERP_MAP, f)
            self.start_coord()
            self.coord("users", "create", "ann")
            self.coord("users", "create", "bob")
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def start_relay(self, *options):
        self.relay_starts += 1
        self.relay = self.ns.start("relay%d" % self.relay_starts, [
            Causeway.program("causeway-derp"), "--listen", IP + ":3443", "--listen",
            "127.0.0.1:3443", "--stun", IP + ":3478", "--state", self.lab.path("derp", "state"), "--hostname", IP, "--self-signed",
            "--workers", "1"] + list(options))
        wait_for(lambda: ":3443" in self.ns.sh("ss", "-ltn").stdout, 15, "the relay")

    def start_coord(self):
        self.starts += 1
        self.proc = self.ns.start("coord%d" % self.starts, [
            Causeway.program("causeway-coord"), "serve", "--listen", "%s:8080" % IP, "--url",
            self.url, "--state", self.state(), "--socket", self.socket, "--derp-map",
            self.lab.path("derp.json")] + self.options)
        wait_for(lambda: ":8080" in self.ns.sh("ss", "-ltn").stdout, 15, "the coordinator")

    def kill_coord(self):
        os.kill(self.proc.pid, signal.SIGKILL)
        self.proc.wait(5)

    def state(self, *names):
        return os.path.join(self.lab.dir, "coord", *names)

    def cli(self, *words, **how):
        """`causeway coord ...`, as a person types it."""
        return self.ns.sh(Causeway.program("causeway"), "coord", "--socket", self.socket, *words,
                          **how)

    def coord(self, *words):
        """What `causeway coord ... --json` prints, as a value."""
        return json.loads(self.cli("--json", *words).stdout)

    def key(self, *options):
        return self.coord("keys", "create", "--user", "ann", *options)["key"]

    def node(self, name):
        return next((n for n in self.coord("nodes", "list") if n["name"] == name), None)

    def approve(self, name, prefix):
        """Wait until the node advertises the prefix, then approve it."""
        wait_for(lambda: any(r["node"] == name and r["prefix"] == prefix
                             for r in self.coord("routes")), 5, "%s's route" % name)
        self.coord("routes", "approve", name, prefix)

    def primary(self, prefix):
        """The name of the prefix's primary node, or None."""
        return next((r["node"] for r in self.coord("routes")
                     if r["prefix"] == prefix and r["primary"]), None)

    def stock(self, name, **how):
        return Stock(self, name, **how)

    def site(self, name):
        """A namespace with a line of its own to the coordinator's."""
        self.sites += 1
        ns = self.lab.ns(name)
        dev, net = "s%d" % self.sites, "10.254.%d" % (10 + self.sites)
        self.lab.veth(self.ns, dev, ns, "up0")
        self.ns.ip("addr add %s.1/24 dev %s" % (net, dev))
        ns.ip("addr add %s.2/24 dev up0" % net, "route add default via %s.1" % net)
        self.ns.sysctl("net.ipv4.ip_forward", 1)
        ns.uplink = net + ".2"
        return ns


class Stock:
    """A tailscaled. In userspace nothing of it leaves the namespace; with a tunnel interface
    (tun) it needs a namespace of its own."""

    def __init__(self, world, name, ns=None, tun=False, env=None):
        self.world, self.name, self.ns = world, name, ns or world.ns
        self.tun = "ts0" if tun else "userspace-networking"
        self.env = dict({"TS_NO_LOGS_NO_SUPPORT": "true", "TS_DEBUG_FIREWALL_MODE": "nftables"},
                        **(env or {}))
        self.state = os.path.join(world.lab.dir, "stock-" + name)
        os.mkdir(self.state, 0o700)
        self.sock = os.path.join(self.state, "sock")
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        self.proc = self.ns.start("tailscaled%d-%s" % (self.starts, self.name), [
            foreign("tailscaled"), "--statedir=" + self.state, "--state=" + self.state + "/state",
            "--socket=" + self.sock, "--tun=" + self.tun, "--port=0"], env=self.env)
        wait_for(lambda: os.path.exists(self.sock), 15, "tailscaled's socket")

    def cli(self, *words, **how):
        return self.ns.sh(foreign("tailscale"), "--socket=" + self.sock, *words, **how)

    def up_words(self, *options):
        # In userspace nothing writes resolv.conf; a tunnel's namespace shares it.
        return ["up", "--login-server=" + self.world.url, "--hostname=" + self.name,
                "--timeout=20s", "--accept-dns=" + ("false" if self.tun == "ts0" else "true"),
                *options]

    def up(self, *options):
        t0 = time.monotonic()
        self.cli(*self.up_words(*options), timeout=30)
        return time.monotonic() - t0

    def up_fails(self, why, *options):
        """It is refused and says so. The first thing that `up` hears may be the error of the
        attempt before: then it is asked again."""
        for _ in range(3):
            p = self.cli(*self.up_words(*options), check=False, timeout=30)
            check(p.returncode, "%s came in with %s" % (self.name, options))
            if why in p.stdout:
                return
        raise Failed("%s: %s, not %s" % (options, p.stdout, why))

    def up_by_hand(self, user, *options):
        """Waits for a URL, and the administrator admits what stands in it."""
        name = "up-%s-%d" % (self.name, time.monotonic_ns())
        login = self.ns.start(name, [foreign("tailscale"), "--socket=" + self.sock] +
                              self.up_words(*options))
        token = wait_for(lambda: next((r["token"] for r in self.world.coord("logins")
                                       if r["token"] in login.log() + login.output()), None), 10,
                         "the URL of a login that waits")
        t0 = time.monotonic()
        self.world.coord("nodes", "register", "--user", user, token)
        return login, token, t0

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def netmap(self):
        return json.loads(self.cli("debug", "netmap").stdout)

    def wait_state(self, state, seconds=8):
        wait_for(lambda: self.status()["BackendState"] == state, seconds,
                 "%s: state %s" % (self.name, state))

    def peers(self):
        """Name -> what status says of it."""
        return {p["DNSName"].split(".")[0]: p for p in (self.status()["Peer"] or {}).values()}

    def wait_peer(self, name, seconds=5, **want):
        def right():
            p = self.peers().get(name)
            return p if p and all(p.get(k) == v for k, v in want.items()) else None
        return wait_for(right, seconds, "%s: peer %s with %s" % (self.name, name, want))

    def pong(self, name, count=5):
        """Whether the other answers over the mesh."""
        return "pong from " in self.cli("ping", "--timeout=3s", "--c=%d" % count, name,
                                        check=False, timeout=5 + 4 * count).stdout


def certificate(lab, ip):
    """(chain, key): a self-signed one for an address."""
    cert, key = lab.path("tls.pem"), lab.path("tls.key")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=" + ip, "-addext", "subjectAltName=IP:" + ip,
         "-keyout", key, "-out", cert])
    return cert, key
