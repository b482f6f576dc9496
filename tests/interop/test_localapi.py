#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the stock command line works against causewayd's socket, and ours does the same:
joining, status, settings, pings, leaving, in every state; that requests made by hand are
answered as a stock daemon did (vectors/localapi/http.json); and who may do what.

The coordinator is the module's testcontrol, in one case causeway-coord."""

import json
import os
import re
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))

from cases import check, main  # noqa: E402
from netns import Lab, wait_for  # noqa: E402
from nodes import Causeway, CausewayMesh, Control, Tailscaled, foreign  # noqa: E402
from topology import Sites  # noqa: E402
import coord_world  # noqa: E402
import test_control  # noqa: E402

NOBODY = 65534


class Daemon:
    """causewayd alone in a namespace, without a dataplane: what it says needs none."""

    def __init__(self, lab, ns, config=None):
        self.ns = ns
        # Others than root must reach the socket, as in /run.
        self.dir = os.path.join("/run", os.path.basename(lab.dir) + ".api")
        os.makedirs(self.dir, mode=0o755, exist_ok=True)
        os.chmod(self.dir, 0o755)
        lab.remove_later(self.dir)
        self.socket = os.path.join(self.dir, "sock")
        self.config = lab.path("node.hujson")
        with open(self.config, "w") as f:
            f.write(json.dumps(config or {}))
        self.proc = ns.start("causewayd", [
            Causeway.program("causewayd"), "--state", lab.path("state"), "--socket", self.socket,
            "--dp-socket", lab.path("no-dp"), "--config", self.config])
        wait_for(lambda: os.path.exists(self.socket), 20, "causewayd's socket")

    def stock(self, *words, uid=None, timeout=30):
        return self._run([foreign("tailscale"), "--socket=" + self.socket], words, uid, timeout)

    def ours(self, *words, uid=None, timeout=30):
        return self._run([Causeway.program("causeway"), "--socket", self.socket], words, uid,
                         timeout)

    def _run(self, argv, words, uid, timeout):
        as_user = ["setpriv", "--reuid", str(uid), "--clear-groups"] if uid else []
        return subprocess.run(["ip", "netns", "exec", self.ns.name] + as_user + argv + list(words),
                              capture_output=True, text=True, timeout=timeout, check=False)

    def start(self, *words):
        """The stock command line in the background."""
        return subprocess.Popen(["ip", "netns", "exec", self.ns.name, foreign("tailscale"),
                                 "--socket=" + self.socket] + list(words),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def get(self, path, method="GET", body=""):
        """(status, JSON or text) of a request by hand."""
        code, _, text = raw(self.socket, "%s /localapi/v0/%s HTTP/1.1\r\nHost: \r\nContent-Length: "
                            "%d\r\nConnection: close\r\n\r\n%s" % (method, path, len(body), body))
        try:
            return code, json.loads(text)
        except ValueError:
            return code, text

    def state(self):
        return self.get("status?peers=false")[1]["BackendState"]


def raw(path, request):
    """(status, headers, body) of one answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(request.encode())
        data = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            data += more
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = dict(x.lower().split(": ", 1) for x in lines[1:])
    return int(lines[0].split()[1]), headers, body.decode()


class World(test_control.World):
    """testcontrol and causewayd in one namespace."""

    def __init__(self, *control_options, config=None):
        super().__init__(*control_options)
        try:
            self.url = "http://%s:8080" % test_control.IP
            self.d = Daemon(self.lab, self.ns, config)
        except BaseException:
            self.lab.close()
            raise


def ok(p, out=None, err=None):
    what = "%s: exit %d\n%s\n%s" % (" ".join(p.args), p.returncode, p.stdout, p.stderr)
    check(p.returncode == 0, what)
    check(out is None or re.search(out, p.stdout, re.M), "no %s: %s" % (out, what))
    check(err is None or re.search(err, p.stderr, re.M), "no %s: %s" % (err, what))
    return p


def fails(p, text):
    check(p.returncode == 1 and text in p.stdout + (p.stderr or ""),
          "%s: exit %d, no \"%s\"\n%s\n%s" % (" ".join(p.args), p.returncode, text, p.stdout,
                                              p.stderr))


def before_a_login():
    """What a fresh daemon says, to both command lines."""
    with World() as w:
        d = w.d
        for run in (d.stock, d.ours):
            fails(run("status"), "Logged out.")
            fails(run("ping", "100.64.0.2"), "Logged out.")
            fails(run("whois", "100.64.0.2"), "peer not found")
            fails(run("ip"), "no current Tailscale IPs; state: NeedsLogin")
            check(json.loads(ok(run("status", "--json")).stdout)["BackendState"] == "NeedsLogin",
                  "another state")
            ok(run("logout"))
        fails(d.stock("exit-node", "list"), "no exit nodes found")
        ok(d.stock("switch", "--list"), r"\AID +Tailnet +Account\n\Z")
        ok(d.stock("down"))
        ok(d.stock("debug", "prefs"), '"ControlURL": ""')
        ok(d.stock("lock", "status"), "NOT enabled")
        ok(d.stock("metrics"), "^tailscaled_advertised_routes 0")
        # There is no dataplane here, and so nobody to ask the network.
        fails(d.ours("netcheck"), "could not be measured")


def join_change_leave():
    """up with all its flags, set, get, down, up again, refusals, logout: by either command line."""
    for mine in (False, True):
        with World() as w:
            d = w.d
            run = d.ours if mine else d.stock
            up = ["up", "--login-server=" + w.url, "--hostname=gw", "--accept-dns=false",
                  "--advertise-routes=10.5.0.0/16,fd05::/64", "--advertise-exit-node",
                  "--snat-subnet-routes=false", "--timeout=20s"]
            t0 = time.monotonic()
            ok(run(*up))
            took = time.monotonic() - t0
            check(took < 5, "up took %.1f s" % took)
            status = json.loads(ok(run("status", "--json")).stdout)
            check(status["BackendState"] == "Running" and status["Self"]["Online"], str(status))
            check(status["Self"]["DNSName"].startswith("gw"), status["Self"]["DNSName"])
            prefs = d.get("prefs")[1]
            check(prefs["NoSNAT"] and not prefs["CorpDNS"] and sorted(prefs["AdvertiseRoutes"]) ==
                  ["0.0.0.0/0", "10.5.0.0/16", "::/0", "fd05::/64"], str(prefs))
            check(prefs["Config"]["UserProfile"]["LoginName"] and
                  set(prefs["Config"]["PrivateNodeKey"][8:]) == {"0"}, str(prefs["Config"]))
            # The very same again is no change; something left out is one.
            ok(run(*up))
            fails(run("up", "--accept-routes"), "requires mentioning all")
            check(not d.get("prefs")[1]["RouteAll"], "it was changed all the same")
            fails(run("up", "--reset", "--login-server=http://203.0.113.9"), "--force-reauth")
            ok(run("set", "--hostname=gw2", "--accept-routes", "--shields-up"))
            prefs = d.get("prefs")[1]
            check(prefs["RouteAll"] and prefs["ShieldsUp"] and prefs["Hostname"] == "gw2" and
                  prefs["NoSNAT"], str(prefs))
            ok(run("set", "--advertise-exit-node=false", "--shields-up=false"))
            check(sorted(d.get("prefs")[1]["AdvertiseRoutes"]) == ["10.5.0.0/16", "fd05::/64"],
                  "not the routes that are left")
            fails(run("set", "--exit-node=100.64.7.7"), "100.64.7.7")
            fails(run("set", "--advertise-routes=10.5.0.1/16"), "expected 10.5.0.0/16")
            ok(run("down"))
            fails(run("status"), "is stopped.")
            address = ok(run("ip", "-4")).stdout
            check(address.startswith("100.64."), address)
            ok(run("up"))
            check(d.state() == "Running", d.state())
            check(ok(run("ip", "-4")).stdout == address, "another address")
            ok(run("logout"))
            fails(run("status"), "Logged out.")
            check(d.get("prefs")[1]["Config"] is None, "somebody is logged in")


def get_shows_what_was_set():
    with World() as w:
        ok(w.d.ours("up", "--login-server=" + w.url, "--hostname=gw", "--netfilter-mode=off",
                    "--advertise-routes=10.5.0.0/16", "--timeout=20s"))
        got = dict(x.split(None, 1) for x in ok(w.d.stock("get")).stdout.splitlines()
                   if len(x.split(None, 1)) == 2)
        for key, want in (("advertise-routes", "10.5.0.0/16"), ("netfilter-mode", "off"),
                          ("hostname", "gw"), ("accept-dns", "true")):
            check(got[key].strip() == want, "%s is %s" % (key, got[key]))


def at_a_url():
    """Both print the URL, wait, and say that it worked; one that nobody visits times out."""
    for mine in (False, True):
        with World("-auth") as w:
            d = w.d
            run = d.ours if mine else d.stock
            fails(run("up", "--login-server=" + w.url, "--timeout=1s"), "timeout waiting")
            url = d.get("status?peers=false")[1]["AuthURL"]
            check(url.startswith(w.url), "AuthURL is %s" % url)
            fails(run("status"), "Log in at: " + url)
            argv = [Causeway.program("causeway"), "--socket", d.socket] if mine else [
                foreign("tailscale"), "--socket=" + d.socket]
            p = subprocess.Popen(["ip", "netns", "exec", w.ns.name] + argv + [
                "up", "--login-server=" + w.url, "--timeout=20s"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            text = ""
            while not re.search(r"^\t(http\S+)$", text, re.M):
                line = p.stdout.readline()
                check(line, "no URL: " + text)
                text += line
            w.post("/lab/complete?url=" + re.search(r"^\t(http\S+)$", text, re.M).group(1))
            text += p.communicate(timeout=20)[0]
            check(p.returncode == 0 and "Success." in text, text)
            check(d.state() == "Running", d.state())


def with_a_key():
    """A key that is refused is an error at once; --force-reauth gives the node another key."""
    with World("-auth-key", "tskey-auth-good") as w:
        d = w.d
        for run in (d.stock, d.ours):
            t0 = time.monotonic()
            fails(run("up", "--login-server=" + w.url, "--auth-key=tskey-auth-bad",
                      "--timeout=10s"), "invalid authkey")
            check(time.monotonic() - t0 < 5, "that took long")
        key = w.lab.path("key")
        with open(key, "w") as f:
            f.write("tskey-auth-good\n")
        ok(d.stock("up", "--login-server=" + w.url, "--auth-key=file:" + key, "--timeout=20s"))
        keys = [d.get("status")[1]["Self"]["PublicKey"]]
        for run in (d.stock, d.ours):
            ok(run("up", "--login-server=" + w.url, "--auth-key=tskey-auth-good",
                   "--force-reauth", "--timeout=20s"))
            keys.append(d.get("status")[1]["Self"]["PublicKey"])
        check(len(set(keys)) == 3, "keys: %s" % keys)


def the_bus():
    """A login's messages in the order in which a stock daemon sends them."""
    with World() as w:
        d = w.d
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(d.socket)
            s.sendall(b"GET /localapi/v0/watch-ipn-bus?mask=0 HTTP/1.1\r\nHost: \r\n\r\n")
            data = s.recv(65536)
            check(data.startswith(b"HTTP/1.1 200 OK") and b"\r\n\r\n" in data,
                  "the head does not come at once")
            ok(d.stock("up", "--login-server=" + w.url, "--timeout=20s"))
            while b'"State":6' not in data:
                data += s.recv(65536)
        seen = []
        for line in data.decode().split("\n"):
            line = line.strip()
            if not line.startswith("{"):
                continue
            m = json.loads(line)
            check("Version" in m and "DriveShares" in m and "Engine" in m, line)
            if m["Prefs"]:
                seen.append("Prefs" + ("+" if m["Prefs"]["Config"] else ""))
            if m["LoginFinished"] is not None:
                seen.append("LoginFinished")
            if "SelfChange" in m:
                seen.append("SelfChange")
            if m["State"] is not None:
                seen.append("State%d" % m["State"])
        order = [seen.index(x) if x in seen else -1
                 for x in ("Prefs", "LoginFinished", "Prefs+", "SelfChange", "State6")]
        check(order == sorted(order) and order[0] >= 0, str(seen))
        # One that asks for the state at first.
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(d.socket)
            s.sendall(b"GET /localapi/v0/watch-ipn-bus?mask=16526 HTTP/1.1\r\nHost: \r\n\r\n")
            data = b""
            while not data.endswith(b"}\n\r\n"):
                data += s.recv(65536)
        first = json.loads(re.search(rb"^\{.*\}$", data, re.M).group(0))
        check(first["State"] == 6 and first["SessionID"] and first["Prefs"]["WantRunning"] and
              first["InitialStatus"]["BackendState"] == "Running" and
              first["NetMap"]["SelfNode"]["ID"] == 1 and first["Health"] is not None,
              str(first)[:600])


def by_hand():
    """Each recorded request gets the recorded answer."""
    with open(os.path.join(ROOT, "tests", "vectors", "localapi", "http.json")) as f:
        requests = json.load(f)
    with World() as w:
        ok(w.d.stock("up", "--login-server=" + w.url, "--timeout=20s"))
        for r in requests:
            if r["user"] == "nobody":
                out = subprocess.run(
                    ["setpriv", "--reuid", str(NOBODY), "--clear-groups", sys.executable, "-c",
                     "import sys, socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])"
                     "\ns.sendall(sys.argv[2].encode())\nd = b''\nwhile True:\n"
                     "    m = s.recv(65536)\n    if not m: break\n    d += m\n"
                     "sys.stdout.buffer.write(d)", w.d.socket, r["request"]],
                    capture_output=True, timeout=20, check=True).stdout.decode()
                head, body = out.split("\r\n\r\n", 1)
                code = int(head.split()[1])
                kind = re.search(r"(?i)^content-type: (.*)\r$", head, re.M).group(1)
            else:
                code, headers, body = raw(w.d.socket, r["request"])
                kind = headers["content-type"]
            check((code, kind) == (r["status"], r["content_type"]),
                  "%s: %d %s" % (r["name"], code, kind))
            check(r["body"] is None or body == r["body"], "%s: %r" % (r["name"], body))
        return "%d requests" % len(requests)


def who_may():
    """Everybody may read; root, and the operator whom it names, may write."""
    with World() as w:
        d = w.d
        ok(d.stock("up", "--login-server=" + w.url, "--timeout=20s"))
        for run in (d.stock, d.ours):
            ok(run("status", uid=NOBODY), r"^100\.64\.")
            ok(run("ip", uid=NOBODY))
            fails(run("set", "--hostname=x", uid=NOBODY), "access denied")
            fails(run("down", uid=NOBODY), "access denied")
            fails(run("logout", uid=NOBODY), "access denied")
        check(d.state() == "Running", d.state())
        ok(d.stock("set", "--operator=nobody"))
        ok(d.stock("set", "--hostname=x", uid=NOBODY))
        ok(d.ours("down", uid=NOBODY))
        ok(d.ours("set", "--operator="))
        fails(d.ours("set", "--hostname=y", uid=NOBODY), "access denied")


def a_static_node():
    """One with peers in node.hujson has no settings: it is up or down, and says so."""
    peer = {"name": "b", "public_key": "zRBHlbvB8SdoQHpQBEgn5ZDSROqFQVpVVQvnm4B3ZVI=",
            "allowed_ips": ["10.9.0.2/32"], "endpoint": "192.0.2.2:7"}
    with World(config={"addresses": ["10.9.0.1/24"], "peers": [peer], "filter": "allow-all"}) as w:
        d = w.d
        check(json.loads(ok(d.stock("status", "--json")).stdout)["TailscaleIPs"] == ["10.9.0.1"],
              "no address")
        check("10.9.0.2" in d.ours("status").stdout, d.ours("status").stdout)
        check(d.stock("ip").stdout == d.ours("ip").stdout == "10.9.0.1\n", "ip")
        ok(d.stock("down"))
        fails(d.stock("status"), "stopped")
        ok(d.ours("up"))
        check(d.state() != "Stopped", d.state())
        ok(d.ours("down"))
        check(d.state() == "Stopped", d.state())
        for run in (d.stock, d.ours):
            fails(run("up", "--login-server=" + w.url), "static")


def shape(value, depth=3):
    """Which keys there are, as far as nodes differ in values alone."""
    if isinstance(value, dict) and depth:
        return {k: shape(v, depth - 1) for k, v in value.items()}
    return "list" if isinstance(value, list) else type(value).__name__


def beside_a_stock_node():
    """With traffic: status, pings, ip, whois, netcheck and the ways to a peer; and status has the
    shape that the stock node's own has."""
    with Lab(name="api") as lab:
        sites = Sites(lab, count=2)
        control = Control(lab, sites)
        ours, stock = (CausewayMesh(lab, sites[1], control=control),
                       Tailscaled(lab, sites[2], control=control))
        stock.start()
        ours.start()

        def theirs(*words):
            return ours.site.gw.sh(foreign("tailscale"), "--socket=" + ours.socket, *words,
                                   check=False, timeout=30)

        def mine(*words):
            return ours.cli(*words, check=False)

        wait_for(lambda: "10.2.0.0/24" in str(ours.status()["Peer"]), 10, "the peer's route")
        ip = stock.status()["Self"]["TailscaleIPs"]
        for run in (theirs, mine):
            pong = ok(run("ping", "gw2"), r"^pong from gw2 \(%s\) via \S+ in \S+s$" % ip[0]).stdout
            check(re.search(r"via [\d.:]+ in|via \[[\da-f:]+\]:\d+ in", pong), pong)
            ok(run("ping", "--icmp", ip[0]), "via ICMP in")
            ok(run("ping", "-c", "5", ip[1]), "^pong from gw2")
            fails(run("ping", "-c", "1", "100.64.7.7"), "no matching peer")
            ok(run("ping", "gw1"), "is local Tailscale IP")
            check(ok(run("ip", "gw2")).stdout.split() == ip, run("ip", "gw2").stdout)
            ok(run("status"), r"^%s +gw2 +user-\d+@ +linux +active; direct \S+, tx \d+ rx \d+ *$"
               % re.escape(ip[0]))
            ok(run("whois", ip[0] + ":80"), r"Name: +gw2$[\s\S]*user-\d+@")
            who = json.loads(ok(run("whois", "--json", ip[0])).stdout)
            check(who["Node"]["Addresses"][0] == ip[0] + "/32" and who["Node"]["Hostinfo"]["OS"] ==
                  "linux", str(who)[:300])
            ok(run("netcheck"), r"\* UDP: true\n\t\* IPv4: yes, 10\.254\.0\.11:\d+$")
        # All nodes here are one user's; times and counts move, so the tables' columns are compared.
        left, right = (re.sub(r"(tx|rx) \d+", "", x("status").stdout) for x in (theirs, mine))
        check(left.split() == right.split(), "%s\n%s" % (left, right))
        report = json.loads(ok(mine("netcheck", "--json")).stdout)
        text = ok(stock.cli("netcheck", "--format=json")).stdout
        their_report = json.loads(text[text.index("{"):text.rindex("}") + 1])
        check(list(report) == list(their_report), "%s\n%s" % (list(report), list(their_report)))
        check(report["PreferredDERP"] == 1 and report["RegionLatency"]["1"] > 0, str(report))
        path = ok(mine("debug", "path", "gw2")).stdout
        check("chosen" in path and "direct" in path, path)
        ways = json.loads(ok(mine("debug", "path", "--json", "gw2")).stdout)
        check(ways["DERPRegionCode"] == "lab" and ways["Direct"] and any(
            c["Verdict"] == "chosen" and c["LatencySeconds"] for c in ways["Candidates"]), str(ways))
        netmap = json.loads(ok(theirs("debug", "netmap")).stdout)
        check([n["Name"] for n in netmap["Peers"]] == ["gw2"], str(netmap["Peers"])[:300])
        a, b = (json.loads(ok(x("status", "--json")).stdout) for x in (theirs, stock.cli))
        check(list(a) == list(b), "%s\n%s" % (list(a), list(b)))
        (pa,), (pb,) = a["Peer"].values(), b["Peer"].values()
        own = {"PeerAPIURL", "Capabilities", "CapMap"}  # of what each kind of node serves
        for x, y in ((pa, pb), (a["Self"], b["Self"])):
            check({k: v for k, v in shape(x, 1).items() if k not in own} ==
                  {k: v for k, v in shape(y, 1).items() if k not in own},
                  "%s\n%s" % (shape(x, 1), shape(y, 1)))


def on_our_coordinator():
    """The same command line, another coordinator: ours."""
    with coord_world.World() as w:
        d = Daemon(w.lab, w.ns)
        ok(d.ours("up", "--login-server=" + w.url, "--auth-key=" + w.key(), "--hostname=gw",
                  "--advertise-routes=10.5.0.0/16", "--timeout=20s"))
        check(w.node("gw"), "the coordinator has no such node")
        w.approve("gw", "10.5.0.0/16")
        wait_for(lambda: d.get("status")[1]["Self"].get("PrimaryRoutes") == ["10.5.0.0/16"], 5,
                 "the approved route")
        ok(d.stock("status"), r"^100\.\d+\.\d+\.\d+ +gw +ann@? +linux")
        ok(d.stock("whois", ok(d.ours("ip", "-4")).stdout.strip()), "ann")
        check(ok(d.stock("status")).stdout == ok(d.ours("status")).stdout, "two tables")
        ok(d.ours("logout"))
        fails(d.stock("status"), "Logged out.")


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        before_a_login, join_change_leave, get_shows_what_was_set, at_a_url, with_a_key, the_bus,
        by_hand, who_may, a_static_node, on_our_coordinator)],
        [("beside-a-stock-node", beside_a_stock_node)]], __doc__))
