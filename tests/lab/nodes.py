# SPDX-License-Identifier: Apache-2.0
"""What can stand on a gateway: Causeway itself, wireguard-go, boringtun, tailscaled.

All WireGuard nodes have one face: keys, `peers`, start(), stop(), cpu_ns(); `wg`
configures the foreign ones only.
"""

import json
import os
import re
import signal
import subprocess
import time

from netns import ROOT, LabError, Skip, run, tool, wait_for
from topology import DPDK_WIRE

PORT = 41641


def genkey():
    """(private, public) as base64."""
    private = run([tool("wg"), "genkey"]).stdout.strip()
    return private, run(["wg", "pubkey"], text_in=private + "\n").stdout.strip()


def genpsk():
    return run([tool("wg"), "genpsk"]).stdout.strip()


def foreign(name):
    """Path of a foreign program in the cache, or Skip with its name."""
    script = os.path.join(ROOT, "tests", "interop", "build.sh")
    path = run([script, "--path", name]).stdout.strip()
    if not os.access(path, os.X_OK):
        raise Skip("%s (build it: tests/interop/build.sh %s)" % (path, name))
    return path


class Peer:
    """The other side, as a node's configuration sees it."""

    def __init__(self, name, public, allowed, endpoint=None, psk=None, keepalive=0, mtu=None):
        self.name, self.public, self.allowed = name, public, list(allowed)
        self.endpoint, self.psk, self.keepalive, self.mtu = endpoint, psk, keepalive, mtu


class Node:
    """Common part; `site` is a topology.Site, `extra` more prefixes of ours."""

    kind = "?"
    # Where the sockets of one gateway's node lie, and under which name logs go.
    def __init__(self, lab, site, port=PORT, mtu=1420):
        self.lab, self.site, self.port, self.mtu = lab, site, port, mtu
        self.private, self.public = genkey()
        self.peers = []
        self.procs = []
        self.key_file = self._file("key", self.private + "\n")

    def _file(self, name, text):
        path = self.lab.path(self.site.name + "." + self.kind.replace("/", "-"), name)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(text)
        return path

    def endpoint(self, family=4):
        """How others reach this node, when no NAT stands before it."""
        if family == 6:
            return "[%s]:%d" % (self.site.wan6, self.port)
        return "%s:%d" % (self.site.wan4, self.port)

    def add_peer(self, other, endpoint=True, allowed=None, psk=None, keepalive=0, family=4,
                 mtu=None):
        """Know another node. endpoint: True = its address, False = learn it, or a text."""
        ep = other.endpoint(family) if endpoint is True else endpoint or None
        self.peers.append(Peer(other.site.name, other.public, allowed or other.site.allowed, ep,
                               psk, keepalive, mtu))
        return self

    def cpu_ns(self):
        return sum(p.cpu_ns() for p in self.procs)

    def alive(self):
        return all(p.running() for p in self.procs)

    def stop(self):
        for p in reversed(self.procs):
            p.stop()
        self.procs = []

    def logs(self):
        return "\n".join("  %s:\n%s" % (p.name, p.tail()) for p in self.procs)


def pair(a, b, psk=None, keepalive=0, family=4):
    """Make two nodes know each other's address."""
    a.add_peer(b, psk=psk, keepalive=keepalive, family=family)
    b.add_peer(a, psk=psk, keepalive=keepalive, family=family)


class WgNode(Node):
    """A foreign implementation configured by `wg`."""

    def __init__(self, lab, site, **kw):
        super().__init__(lab, site, **kw)
        self.dev = lab.unique_if("w")
        self.uapi = "/var/run/wireguard/%s.sock" % self.dev
        lab.remove_later(self.uapi)

    def argv(self):
        raise NotImplementedError

    def start(self):
        self.procs = [self.site.gw.start(self.kind, self.argv(), env=self.env())]
        wait_for(lambda: os.path.exists(self.uapi) and
                 self.site.gw.sh("ip", "link", "show", self.dev, check=False).returncode == 0,
                 10, "%s to make %s" % (self.kind, self.dev))
        self.site.gw.sh("wg", "set", self.dev, "private-key", self.key_file, "listen-port",
                        self.port)
        for p in self.peers:
            self.set_peer(p)
        self.site.gw.ip("addr add %s/32 dev %s" % (self.site.mesh4, self.dev),
                        "addr add %s/128 dev %s" % (self.site.mesh6, self.dev),
                        "link set %s mtu %d up" % (self.dev, self.mtu),
                        *["route replace %s dev %s" % (a, self.dev)
                          for p in self.peers for a in p.allowed])
        return self

    def env(self):
        return {"LOG_LEVEL": "verbose", "WG_LOG_LEVEL": "info"}

    def set_peer(self, p):
        args = ["peer", p.public, "allowed-ips", ",".join(p.allowed)]
        if p.endpoint:
            args += ["endpoint", p.endpoint]
        if p.psk:
            args += ["preshared-key", self._file("psk-" + p.name, p.psk + "\n")]
        if p.keepalive:
            args += ["persistent-keepalive", str(p.keepalive)]
        self.site.gw.sh("wg", "set", self.dev, *args)

    def show(self):
        """{public key: {endpoint, handshake (unix time), rx, tx}}"""
        out = {}
        dump = self.site.gw.sh("wg", "show", self.dev, "dump").stdout.splitlines()
        for line in dump[1:]:
            f = line.split("\t")
            out[f[0]] = {"endpoint": f[2], "handshake": int(f[4]), "rx": int(f[5]),
                         "tx": int(f[6])}
        return out


class WireguardGo(WgNode):
    kind = "wireguard-go"

    def argv(self):
        return [foreign("wireguard-go"), "-f", self.dev]


class Boringtun(WgNode):
    kind = "boringtun"

    def argv(self):
        # A connected socket would hold it to its first address: it could not roam.
        return [foreign("boringtun-cli"), "-f", "--disable-drop-privileges",
                "--disable-connected-udp", self.dev]

    def show(self):
        # It reports the age of the last handshake where the protocol wants its time.
        out = super().show()
        for p in out.values():
            p["handshake"] = int(time.time()) - p["handshake"] if p["rx"] else 0
        return out


class Causeway(Node):
    """causeway-dp and causewayd with a file of static peers. port_kind: kernel, xdp or dpdk."""

    kind = "causeway"

    def __init__(self, lab, site, port_kind="kernel", filter_="allow-all", dp_args=(),
                 lan="eth1", dpdk_queues=1, **kw):
        super().__init__(lab, site, **kw)
        self.port_kind = port_kind
        self.dpdk_queues = dpdk_queues
        self.lan = lan
        self.filter = filter_
        self.dp_args = list(dp_args)
        self.dir = os.path.dirname(self.key_file)
        self.tun = "cw0"
        self.dp_socket = os.path.join(self.dir, "dp.sock")
        self.socket = os.path.join(self.dir, "node.sock")
        self.config = os.path.join(self.dir, "node.hujson")
        self.starts = 0
        self.dp = self.daemon = None

    @staticmethod
    def program(name):
        folder = os.environ.get("CAUSEWAY_BIN", os.path.join(ROOT, "build", "bin"))
        path = os.path.join(folder, name)
        if not os.access(path, os.X_OK):
            # Not a skip: these are what is tested.
            raise LabError("no %s (build the programs: ./run build)" % path)
        return path

    @classmethod
    def require(cls):
        for name in ("causeway-dp", "causewayd", "causeway"):
            cls.program(name)

    def config_text(self):
        peers = []
        for p in self.peers:
            d = {"name": p.name, "public_key": p.public, "allowed_ips": p.allowed}
            if p.endpoint:
                d["endpoint"] = p.endpoint
            if p.psk:
                d["preshared_key_file"] = self._file("psk-" + p.name, p.psk + "\n")
            if p.keepalive:
                d["persistent_keepalive"] = p.keepalive
            if p.mtu:
                d["mtu"] = p.mtu
            peers.append(d)
        c = {"private_key_file": self.key_file,
             "addresses": [self.site.mesh4 + "/24", self.site.mesh6 + "/64"],
             "mtu": self.mtu, "peers": peers}
        if self.filter is not None:
            c["filter"] = self.filter
        return json.dumps(c, indent=2) + "\n"

    def port_option(self):
        if self.port_kind == "xdp":
            return "xdp:wan=eth0,lan=%s,listen=%d,tun=%s" % (self.lan, self.port, self.tun)
        if self.port_kind == "dpdk":
            devices = ["net_af_packet%d;iface=%s%s;qpairs=%d;tap=%s" % (i, DPDK_WIRE, dev,
                                                                        self.dpdk_queues, dev)
                       for i, dev in enumerate(["eth0"] + self.lan.split("+"))]
            return "dpdk:wan=%s,lan=%s,listen=%d,tun=%s" % (
                devices[0], "+".join(devices[1:]), self.port, self.tun)
        return "kernel:tun=%s,listen=%d" % (self.tun, self.port)

    def start_dp(self):
        self.starts += 1
        self.dp = self.site.gw.start(
            "causeway-dp.%d" % self.starts,
            [self.program("causeway-dp"), "--socket", self.dp_socket, "--port",
             self.port_option(), "--no-huge"] + self.dp_args)
        self.procs = [p for p in (self.dp, self.daemon) if p]
        return self.dp

    def start_daemon(self):
        self.starts += 1
        self.daemon = self.site.gw.start(
            "causewayd.%d" % self.starts,
            [self.program("causewayd"), "--state", os.path.join(self.dir, "state"), "--socket",
             self.socket, "--dp-socket", self.dp_socket, "--config", self.config])
        self.procs = [p for p in (self.dp, self.daemon) if p]
        return self.daemon

    def write_config(self, text=None):
        with open(self.config, "w") as f:
            f.write(text if text is not None else self.config_text())

    def start(self, seconds=20):
        self.write_config()
        self.start_dp()
        wait_for(lambda: os.path.exists(self.dp_socket) or not self.dp.running(), seconds,
                 "causeway-dp's socket")
        self.start_daemon()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=20):
        """Until the daemon answers and the TUN has the mesh address."""
        def ready():
            for p in self.procs:
                if not p.running():
                    raise LabError("%s ended with %s\n%s" % (p.name, p.p.returncode, p.tail()))
            if self.site.mesh4 not in self.site.gw.sh("ip", "-4", "addr", "show", self.tun,
                                                      check=False).stdout:
                return False
            return self.cli("status", "--json", check=False).returncode == 0
        try:
            wait_for(ready, seconds, "causeway on %s" % self.site.name)
        except LabError as e:
            raise LabError("%s\n%s" % (e, self.logs()))

    def cli(self, *verb, check=True):
        p = subprocess.run(["ip", "netns", "exec", self.site.gw.name, self.program("causeway"),
                            "--socket", self.socket, "--dp-socket", self.dp_socket] +
                           list(verb), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=20)
        if check and p.returncode:
            raise LabError("causeway %s: exit %d: %s" % (" ".join(verb), p.returncode,
                                                         p.stderr.strip() or p.stdout.strip()))
        return p

    def show(self, what):
        """`causeway dp show WHAT --json`"""
        return json.loads(self.cli("dp", "show", what, "--json").stdout)

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def counters(self):
        """{name: value} of all dataplane counters."""
        return {c["name"]: c["value"] for c in self.counter_rows()}

    def counter_rows(self):
        got = self.show("counters")
        return got if isinstance(got, list) else got["counters"]

    def faults(self):
        """Counters marked as fault that are not zero, as text."""
        return ["%s %s=%d" % (self.site.name, c["name"], c["value"])
                for c in self.counter_rows() if c.get("fault") and c["value"]]

    def kill_daemon(self):
        self.daemon.kill()

    def kill_dp(self):
        self.dp.kill()


class CausewayMesh(Causeway):
    """causeway-dp and causewayd as a member of a mesh: a subnet router like Tailscaled below."""

    kind = "causeway-mesh"

    def __init__(self, lab, site, control=None, env=None, **kw):
        super().__init__(lab, site, **kw)
        self.control = control
        self.env = env or {}
        self.state = os.path.join(self.dir, "state")

    def start_daemon(self):
        self.starts += 1
        self.daemon = self.site.gw.start(
            "causewayd.%d" % self.starts,
            [self.program("causewayd"), "--state", self.state, "--socket", self.socket,
             "--dp-socket", self.dp_socket], env=self.env)
        self.procs = [p for p in (self.dp, self.daemon) if p]
        wait_for(lambda: os.path.exists(self.socket) or not self.daemon.running(), 20,
                 "causewayd's socket")
        return self.daemon

    def start(self, seconds=20, options=()):
        self.start_dp()
        wait_for(lambda: os.path.exists(self.dp_socket) or not self.dp.running(), seconds,
                 "causeway-dp's socket")
        self.start_daemon()
        self.up(*options)
        return self

    def up(self, *options):
        self.stock("up", "--login-server=" + self.control.url, "--hostname=" + self.site.name,
                 "--accept-dns=false", "--accept-routes", "--snat-subnet-routes=false",
                 "--advertise-routes=%s,%s" % (self.site.net4, self.site.net6), "--timeout=15s",
                 *self.auth(), *options)

    def auth(self):
        return ["--auth-key=" + self.control.auth_key] if self.control.auth_key else []

    def stock(self, *words, **how):
        """The stock command line on our socket."""
        return self.site.gw.sh(foreign("tailscale"), "--socket=" + self.socket, *words, **how)

    def seen(self):
        """Name -> what status says of it."""
        return {p["DNSName"].split(".")[0]: p for p in (self.status()["Peer"] or {}).values()}


class Tailscaled(Node):
    """Stock tailscaled as a subnet router; needs a Control in the internet."""

    kind = "tailscaled"

    def __init__(self, lab, site, control=None, **kw):
        super().__init__(lab, site, **kw)
        self.control = control
        self.dev = lab.unique_if("t")
        self.dir = os.path.dirname(self.key_file)
        self.sock = os.path.join(self.dir, "sock")

    def start(self):
        gw = self.site.gw
        daemon = gw.start(self.kind, [
            foreign("tailscaled"), "--statedir=" + self.dir, "--state=" + self.dir + "/state",
            "--socket=" + self.sock, "--tun=" + self.dev, "--port=%d" % self.port],
            env={"TS_NO_LOGS_NO_SUPPORT": "true", "TS_DEBUG_FIREWALL_MODE": "nftables"})
        self.procs = [daemon]
        wait_for(lambda: os.path.exists(self.sock), 15, "tailscaled's socket")
        gw.sh(foreign("tailscale"), "--socket=" + self.sock, "up",
              "--login-server=" + self.control.url, "--hostname=" + self.site.name,
              "--accept-dns=false", "--accept-routes", "--snat-subnet-routes=false",
              "--advertise-routes=%s,%s" % (self.site.net4, self.site.net6), "--timeout=30s",
              *(["--auth-key=" + self.control.auth_key] if self.control.auth_key else []),
              timeout=40)
        return self

    def cli(self, *words, **how):
        return self.site.gw.sh(foreign("tailscale"), "--socket=" + self.sock, *words, **how)

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def seen(self):
        """Name -> what status says of it."""
        return {p["DNSName"].split(".")[0]: p for p in (self.status()["Peer"] or {}).values()}


class Control:
    """The test coordinator for tailscaled, in the internet's namespace."""

    auth_key = None

    def __init__(self, lab, sites):
        # A private address: over plain http stock nodes insist on port 443 otherwise.
        sites.inet.ip("addr add 10.254.0.1/24 dev br0")
        for n, s in sites.sites.items():
            (s.nat or s.gw).ip("addr add 10.254.0.%d/24 dev eth0" % (10 + n))
        self.url = "http://10.254.0.1:8080"
        self.proc = sites.inet.start("control", [foreign("control"), "-ip", "10.254.0.1"])
        wait_for(lambda: ":8080" in sites.inet.sh("ss", "-ltn").stdout, 15, "the control server")


class CausewayControl:
    """causeway-coord and causeway-derp in the internet's namespace: like Control, but ours."""

    IP = "10.254.0.1"

    def __init__(self, lab, sites):
        sites.inet.ip("addr add %s/24 dev br0" % self.IP)
        for n, s in sites.sites.items():
            (s.nat or s.gw).ip("addr add 10.254.0.%d/24 dev eth0" % (10 + n))
        self.begin(lab, sites.inet)

    def begin(self, lab, ns):
        """In a namespace that has the address."""
        self.lab, self.ns = lab, ns
        self.url = "http://%s:8080" % self.IP
        self.socket = lab.path("coord.sock")
        self.starts = 0
        with open(lab.path("derp.json"), "w") as f:
            json.dump({"Regions": {"1": {
                "RegionID": 1, "RegionCode": "lab", "RegionName": "lab", "Nodes": [
                    {"Name": "1a", "RegionID": 1, "HostName": self.IP, "IPv4": self.IP,
                     "IPv6": "none", "DERPPort": 3443, "STUNPort": 3478,
                     "InsecureForTests": True}]}}}, f)
        with open(lab.path("policy.hujson"), "w") as f:
            f.write("{} // everybody may reach everybody\n")
        self.start_relay()
        self.start()
        self.coord("users", "create", "ann")
        self.auth_key = self.coord("keys", "create", "--user", "ann", "--reusable")["key"]

    def start_relay(self):
        self.starts += 1
        self.relay = self.ns.start("causeway-derp.%d" % self.starts, [
            Causeway.program("causeway-derp"), "--listen", self.IP + ":3443", "--stun",
            self.IP + ":3478", "--state", self.lab.path("derp"), "--hostname", self.IP,
            "--self-signed"])
        wait_for(lambda: ":3443" in self.ns.sh("ss", "-ltn").stdout, 15, "the relay")

    def start(self):
        self.starts += 1
        self.proc = self.ns.start("causeway-coord.%d" % self.starts, [
            Causeway.program("causeway-coord"), "serve", "--listen", self.IP + ":8080", "--url",
            self.url, "--state", self.lab.path("coord"), "--socket", self.socket, "--derp-map",
            self.lab.path("derp.json"), "--policy", self.lab.path("policy.hujson")])
        wait_for(lambda: ":8080" in self.ns.sh("ss", "-ltn").stdout, 15, "the coordinator")

    def coord(self, *words):
        """What `causeway coord ... --json` prints, as a value."""
        return json.loads(self.ns.sh(Causeway.program("causeway"), "coord", "--socket",
                                     self.socket, "--json", *words).stdout)

    def approve(self, node):
        """What the node advertises."""
        for p in (node.site.net4, node.site.net6):
            self.coord("routes", "approve", node.site.name, p)
