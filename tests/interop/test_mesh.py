#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that a gateway of ours is a node of a mesh beside stock tailscaleds, on a coordinator and
a relay that others wrote (the module's testcontrol and derpserver): traffic between hosts of the
sites in both families, by the relay first and then direct; what becomes of it when the coordinator
goes and the gateway is restarted."""

import base64
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from flows import Udp, account, lost  # noqa: E402
from netns import Lab, tool, wait_for  # noqa: E402
from nodes import CausewayControl, CausewayMesh, Control, Tailscaled  # noqa: E402
from topology import Sites  # noqa: E402


PPS = 1000


class World:
    """Two sites; kinds: the class of each site's gateway; control: who coordinates and relays."""

    def __init__(self, kinds, control=Control, before=None, **sites):
        self.lab = Lab(name="mesh")
        try:
            self.sites = Sites(self.lab, count=len(kinds), **sites)
            self.control = control(self.lab, self.sites)
            if before:
                before(self)
            self.nodes = [kind(self.lab, self.sites[i + 1], control=self.control)
                          for i, kind in enumerate(kinds)]
            for n in self.nodes:
                n.start()
                if isinstance(self.control, CausewayControl):
                    self.control.approve(n)
            self.wait_seen()
        except BaseException as e:
            self.report(e)
            self.lab.close()
            raise

    def report(self, e):
        if not isinstance(e, KeyboardInterrupt):
            sys.stderr.write("\n".join(n.logs() for n in getattr(self, "nodes", [])) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, kind, e, tb):
        if e is not None:
            self.report(e)
        self.lab.close()

    def ping(self, a, b, family=4, count=1, seconds=2):
        """From site a's host to site b's: [ms] of the replies."""
        out = self.sites[a].host.sh("ping", "-n", "-c", count, "-i", "0.05", "-W", seconds,
                                    self.sites[b].host_addr(family), check=False,
                                    timeout=30).stdout
        return [float(x) for x in re.findall(r"time=([\d.]+)", out)]

    def wait_seen(self):
        """Until each has the other, with its routes."""
        for n in self.nodes:
            others = [o for o in self.nodes if o is not n]
            wait_for(lambda: all(o.site.net4 in (n.seen().get(o.site.name, {})
                                                 .get("AllowedIPs") or []) for o in others),
                     10, "%s to see the others" % n.site.name)


def start_capture(w):
    """All that crosses the internet, the coordinator's and the relay's ports included."""
    proc = w.sites.inet.start("tcpdump", [tool("tcpdump"), "-i", "br0", "-s", "0", "-U", "-w",
                                          w.lab.path("wire.pcap")])
    wait_for(lambda: "listening" in proc.log(), 10, "the capture")


def first_by_relay_then_direct():
    """The first ping within 300 ms, direct within a second, both families and directions."""
    with World([CausewayMesh, Tailscaled]) as w:
        ours = w.nodes[0]
        t0 = time.monotonic()
        first = w.ping(1, 2)
        check(first and first[0] <= 300, "first ping: %s" % first)
        wait_for(lambda: ours.seen()["gw2"]["CurAddr"], 5, "a direct way")
        direct = time.monotonic() - t0
        check(direct <= 1, "direct after %.2f s" % direct)
        for a, b in ((1, 2), (2, 1)):
            for family in (4, 6):
                got = w.ping(a, b, family, count=5)
                check(len(got) == 5, "%d to %d, IPv%d: %s" % (a, b, family, got))
        theirs = w.nodes[1].seen()["gw1"]
        check(theirs["CurAddr"], "stock knows no direct way: %s" % theirs)
        check(not ours.faults(), "; ".join(ours.faults()))
        return "first %.0f ms, direct after %.2f s" % (first[0], direct)


def ours_on_ours():
    """Two gateways of ours on causeway-coord and causeway-derp."""
    with World([CausewayMesh, CausewayMesh], CausewayControl) as w:
        first = w.ping(1, 2)
        check(first and first[0] <= 300, "first ping: %s" % first)
        wait_for(lambda: w.nodes[0].seen()["gw2"]["CurAddr"], 5, "a direct way")
        for family in (4, 6):
            got = w.ping(2, 1, family, count=5)
            check(len(got) == 5, "IPv%d: %s" % (family, got))
        for n in w.nodes:
            check(not n.faults(), "; ".join(n.faults()))
        return "first %.0f ms" % first[0]


def restarted_without_the_coordinator():
    """Coordinator killed; then causewayd, then all of the gateway, is killed and started: traffic
    again within 5 s from the cache. The coordinator's return changes nothing."""
    with World([CausewayMesh, CausewayMesh], CausewayControl) as w:
        ours = w.nodes[0]
        check(w.ping(1, 2), "no ping")
        wait_for(lambda: ours.seen()["gw2"]["CurAddr"], 5, "a direct way")
        time.sleep(2.5)  # the picture is on the disk 2 s after its last change
        w.control.proc.kill()
        took = []
        for what in ("daemon", "both"):
            ours.kill_daemon()
            if what == "both":
                ours.kill_dp()
                ours.start_dp()
                wait_for(lambda: os.path.exists(ours.dp_socket), 10, "causeway-dp's socket")
            t0 = time.monotonic()
            ours.start_daemon()
            wait_for(lambda: w.ping(1, 2, seconds=1), 10, "a ping after %s" % what)
            took.append(time.monotonic() - t0)
            check(took[-1] <= 5, "%s: up after %.1f s" % (what, took[-1]))
        health = " ".join(ours.status()["Health"] or [])
        check("coordinator" in health, "health says nothing of the coordinator: %s" % health)
        w.control.start()
        lost = 40 - len(w.ping(1, 2, count=40))
        check(lost == 0, "%d lost at the coordinator's return" % lost)
        wait_for(lambda: "coordinator" not in " ".join(ours.status()["Health"] or []), 30,
                 "the coordinator to be heard again")
        return "daemon %.2f s, both %.2f s" % tuple(took)


def coordinator_killed_in_a_flow():
    """kill -9 at the beginning of a 60 s flow that began at session age 80 s, so that the session
    is renewed in it: nothing is lost."""
    with World([CausewayMesh, CausewayMesh], CausewayControl) as w:
        for n in w.nodes:
            n.site.gw.ip("link set %s txqueuelen 4000" % n.tun)
        check(w.ping(1, 2), "no ping")
        wait_for(lambda: all(n.seen()[o]["CurAddr"] for n, o in zip(w.nodes, ("gw2", "gw1"))), 5,
                 "a direct way")
        born = time.monotonic()
        before = {n: n.show("sessions") for n in w.nodes}
        # A little traffic, so that nothing is renewed for want of it.
        while time.monotonic() - born < 80:
            w.ping(1, 2)
            time.sleep(2)
        a, b = w.sites[1], w.sites[2]
        flow = Udp(w.lab, (a.host, a.host4), (b.host, b.host4), rate=PPS, seconds=60)
        w.control.proc.kill()
        reports = flow.wait()
        check(lost(reports) == (0, 0), account(reports))
        check(all(n.show("sessions") != before[n] for n in w.nodes), "no session was renewed")
        return account(reports)


def private_keys(folder):
    """Every private key in a node's state folder: {where it stands: 32 bytes}."""
    found = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.endswith((".key", ".keys")):
            continue
        with open(path) as f:
            text = f.read()
        for hexa in re.findall(r"privkey:([0-9a-f]{64})", text):
            found["%s %s" % (name, hexa[:4])] = bytes.fromhex(hexa)
        for b64 in re.findall(r"^([A-Za-z0-9+/]{43}=)$", text, re.M):
            found[name] = base64.b64decode(b64)
    return found


def forms_of(key):
    """How a key might be written."""
    return [key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)[:-1],
            base64.urlsafe_b64encode(key)[:-1]]


def memory_of(pid):
    """Whatever a process has written: its private and anonymous memory."""
    out = []
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if "w" not in line.split()[1] or "vvar" in line or last - first > 1 << 30:
                continue
            try:
                mem.seek(first)
                out.append(mem.read(last - first))
            except (OSError, ValueError):
                continue  # not there, or a device's
    return b"".join(out)


def private_keys_stay_at_home():
    """Two gateways join and talk, by the relay first: no private key of theirs is in a byte that
    went over the wire, in the coordinator's files, in a log, in what commands print, nor in the
    memory of the coordinator and of the relay."""
    with World([CausewayMesh, CausewayMesh], CausewayControl, before=start_capture) as w:
        check(w.ping(1, 2) and w.ping(2, 1, 6), "no ping")
        wait_for(lambda: w.nodes[0].seen()["gw2"]["CurAddr"], 5, "a direct way")
        printed = "".join(n.stock(*verb).stdout for n in w.nodes for verb in (
            ("status", "--json"), ("debug", "prefs"), ("debug", "netmap")))
        time.sleep(1)  # the last bytes of the capture
        keys = {(n.site.name, where): key for n in w.nodes
                for where, key in private_keys(n.state).items()}
        # Machine, node and disco, and the static mode's key that is made at the first start.
        check(len(keys) == 8, "keys: %s" % sorted(keys))
        places = {"what commands print": printed.encode(),
                  "the coordinator's memory": memory_of(w.control.proc.pid),
                  "the relay's memory": memory_of(w.control.relay.pid)}
        for folder, _, names in os.walk(w.lab.dir):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not any(path.startswith(n.state) for n in w.nodes):
                    with open(path, "rb") as f:
                        places[os.path.relpath(path, w.lab.dir)] = f.read()
        check(len(places["wire.pcap"]) > 10000, "the capture is empty")
        own = private_keys(w.lab.path("coord"))
        check(any(form in places["the coordinator's memory"] for k in own.values()
                  for form in forms_of(k)), "the coordinator's own key is not in its memory")
        for (node, where), key in keys.items():
            for place, data in places.items():
                check(not any(form in data for form in forms_of(key)),
                      "%s of %s is in %s" % (where, node, place))
        return "%d keys, %d places, %d MiB" % (
            len(keys), len(places), sum(len(d) for d in places.values()) >> 20)


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        first_by_relay_then_direct, ours_on_ours, restarted_without_the_coordinator,
        coordinator_killed_in_a_flow, private_keys_stay_at_home)]], __doc__))
