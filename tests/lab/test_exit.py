#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows an exit node and its client, with static peers: what the client's host and its LAN
send to the internet leaves at the exit node, translated to its address, and nothing of it
leaves beside the tunnel, also without a dataplane. And translation towards a subnet, how
it ends, and how it is taken over from a process that was killed."""

import json
import signal
import sys

from capture import Capture
from cases import check, main
from netns import Lab, wait_for
from nodes import Causeway
from topology import Sites

FAR4, FAR6 = "198.51.100.9", "2001:db8:f::9"  # a host of the internet, behind no route but a default

ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 7)); s.listen(16)
while True:
    c, a = s.accept()
    c.sendall(a[0].replace("::ffff:", "").encode()); c.close()
"""
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7), 3)
print(s.recv(100).decode())
"""


class Gateway(Causeway):
    masquerade = ()

    def config_text(self):
        c = json.loads(super().config_text())
        if self.masquerade:
            c["masquerade"] = list(self.masquerade)
        return json.dumps(c, indent=2) + "\n"


def topology(lab):
    s = Sites(lab)
    s.inet.ip("addr add %s/32 dev lo" % FAR4, "addr add %s/128 dev lo" % FAR6)
    for n in (1, 2):
        s[n].gw.ip("route add default via 203.0.113.254", "route add default via 2001:db8::fe")
    return s


def nodes_of(lab, s, masquerade, allowed=()):
    a, b = Gateway(lab, s[1]), Gateway(lab, s[2])
    b.masquerade = masquerade
    a.add_peer(b, allowed=s[2].allowed + list(allowed))
    b.add_peer(a)
    for node in (a, b):
        node.start()
    for family in (4, 6):
        s[1].host.wait_ping(s[2].host_addr(family), 20)
    return a, b


def seen_as(ns, dst):
    """The source that the server at dst sees, or what went wrong."""
    return ns.sh("python3", "-c", ASK, dst, check=False).stdout.strip().splitlines()[-1:]


def answers(ns, dst):
    return ns.ping(dst, 2)[0] > 0


def in_the_clear(cap):
    """Frames with the far host's address outside of any tunnel."""
    far4, far6 = bytes([198, 51, 100, 9]), bytes.fromhex("20010db8000f00000000000000000009")
    return [f for _, f in cap.stop() if far4 in f[26:34] or far6 in f[22:54]]


def exit_node():
    Causeway.require()
    lab = Lab(name="exit")
    with lab:
        s = topology(lab)
        s.inet.start("echo", ["python3", "-c", ECHO])
        a, b = nodes_of(lab, s, ["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"])
        cap = Capture(lab, s.inet, "port1")
        for who in (s[1].host, s[1].gw):
            check(seen_as(who, FAR4) == [s[2].wan4], "IPv4 of %s does not leave by the exit node: "
                  "%s\n%s" % (who.short, seen_as(who, FAR4), b.logs()))
            check(seen_as(who, FAR6) == [s[2].wan6], "nor IPv6: %s" % seen_as(who, FAR6))
            check(answers(who, FAR4) and answers(who, FAR6), "no ICMP")
        leaked = in_the_clear(cap)
        check(not leaked, "%d frames beside the tunnel: %s" % (len(leaked),
                                                             [f[:60].hex() for f in leaked[:2]]))

        # Without a dataplane there is no way out, rather than another one.
        cap = Capture(lab, s.inet, "port1")
        a.kill_dp()
        for who in (s[1].host, s[1].gw):
            check(not answers(who, FAR4) and not answers(who, FAR6), "an answer without a tunnel")
        a.kill_daemon()
        check(not answers(s[1].gw, FAR4), "an answer without any process")
        leaked = in_the_clear(cap)
        check(not leaked, "%d frames in the clear" % len(leaked))

        a.start_dp()
        a.start_daemon()
        s[1].gw.wait_ping(FAR4, 20)
        a.cli("down")
        rules = s[1].gw.sh("ip", "rule").stdout + s[1].gw.sh("ip", "-6", "rule").stdout
        check("lookup 52" not in rules, "rules are left after down:\n" + rules)
        check(seen_as(s[1].gw, FAR4) == [s[1].wan4], "down gives no direct way back")


def tables(ns):
    return ns.sh("nft", "list", "ruleset").stdout


def subnet():
    """A subnet behind gateway 2 that knows no way back to site 1."""
    Causeway.require()
    lab = Lab(name="exit-subnet")
    with lab:
        s = topology(lab)
        for family in ("-4", "-6"):
            s[2].host.sh("ip", family, "route", "del", "default")
        s[2].host.start("echo", ["python3", "-c", ECHO])
        s[2].gw.nft("add table inet theirs")
        a, b = Gateway(lab, s[1]), Gateway(lab, s[2])
        b.masquerade = [s[2].net4, s[2].net6]
        a.add_peer(b)
        b.add_peer(a)
        for node in (a, b):
            node.start()
        for family, gw in ((4, s[2].gw4), (6, s[2].gw6)):
            s[1].host.wait_ping(s[2].host_addr(family), 20)
            got = seen_as(s[1].host, s[2].host_addr(family))
            check(got == [gw], "IPv%d: the host sees %s, not its gateway" % (family, got))

        # Forwarding off is said, as long as it is.
        def health():
            return json.loads(b.cli("status", "--json").stdout).get("Health") or []
        check(not health(), "complaints: %s" % health())
        s[2].gw.sysctl("net.ipv4.ip_forward", 0)
        check(any("net.ipv4.ip_forward" in h for h in health()), "not said: %s" % health())
        s[2].gw.sysctl("net.ipv4.ip_forward", 1)

        # Killed, it leaves its table; the next one makes it its own, without a second.
        b.kill_daemon()
        check("table inet causeway" in tables(s[2].gw), "kill -9 removed the table")
        b.masquerade = [s[2].net4]
        b.write_config()
        b.start_daemon()
        b.wait_ready()
        wait_for(lambda: "routes6" not in tables(s[2].gw), 10, "the new table")
        check(tables(s[2].gw).count("masquerade") == 1, tables(s[2].gw))
        check(seen_as(s[1].host, s[2].host4) == [s[2].gw4], "IPv4 is not translated any more")
        check(not answers(s[1].host, s[2].host6), "IPv6 is answered without translation")

        b.cli("down")
        check("causeway" not in tables(s[2].gw), "down leaves " + tables(s[2].gw))
        b.cli("up")
        wait_for(lambda: "masquerade" in tables(s[2].gw), 10, "the table after up")
        b.daemon.signal(signal.SIGTERM)
        wait_for(lambda: not b.daemon.running(), 10, "the end of causewayd")
        check("causeway" not in tables(s[2].gw), "an end in order leaves " + tables(s[2].gw))
        check("table inet theirs" in tables(s[2].gw), "a table of others is gone")


def untranslated():
    """A port that forwards by itself does not translate, and status does not keep that back."""
    Causeway.require()
    lab = Lab(name="exit-xdp")
    with lab:
        s = Sites(lab, xdp=(1,))
        node = Gateway(lab, s[1], port_kind="xdp")
        node.add_peer(Gateway(lab, s[2]))
        node.start()
        check(not json.loads(node.cli("status", "--json").stdout).get("Health"), "a complaint")
        node.masquerade = [s[1].net4]
        node.write_config()
        node.daemon.signal(signal.SIGHUP)
        wait_for(lambda: "keeps its source" in " ".join(json.loads(
            node.cli("status", "--json").stdout).get("Health") or []), 10, "a word of it")


if __name__ == "__main__":
    sys.exit(main([[("exit-node", exit_node), ("exit-subnet", subnet),
                    ("exit-untranslated", untranslated)]], __doc__))
