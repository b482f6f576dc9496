#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that nothing leaves in the clear while causeway-dp is killed, stopped or restarting:
captures on the WAN of both gateways hold no inner address and no inner payload.

The gateways have a default route into the internet, so that without protection packets for
the other site would leave; each case first sees that they do before Causeway runs."""

import ipaddress
import signal
import struct
import sys
import time

from capture import Capture, udp_payload
from cases import check, main
from flows import Udp
from netns import Lab
from nodes import Causeway, pair
from topology import Sites

INNER = [ipaddress.ip_network(n) for n in
         ("10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "fd01::/64", "fd02::/64", "fd09::/64")]
MARK = struct.pack("<I", 0x74726166)  # what every packet of tests/lab/traffic begins with
PING_MARK = bytes(range(0x20, 0x30))  # part of what ping fills its packets with


def addresses(frame):
    """Every address in the outermost headers of an Ethernet frame, ARP included."""
    kind = struct.unpack("!H", frame[12:14])[0]
    p = frame[14:]
    if kind == 0x0800 and len(p) >= 20:
        return [ipaddress.ip_address(p[12:16]), ipaddress.ip_address(p[16:20])]
    if kind == 0x86dd and len(p) >= 40:
        return [ipaddress.ip_address(p[8:24]), ipaddress.ip_address(p[24:40])]
    if kind == 0x0806 and len(p) >= 28:
        return [ipaddress.ip_address(p[14:18]), ipaddress.ip_address(p[24:28])]
    return []


def is_leak(frame):
    if len(frame) < 14:
        return False
    if any(a in n for a in addresses(frame) for n in INNER if a.version == n.version):
        return True
    return MARK in frame or PING_MARK in frame


def leaks(captures):
    found, data = [], 0
    for c in captures:
        for _, frame in c.stop():
            if is_leak(frame):
                found.append(" ".join(map(str, addresses(frame))) + " " + frame[:48].hex())
            u = udp_payload(frame)
            data += bool(u and u[4][:1] == b"\4")
    return found, data


def watch(lab, s):
    return [Capture(lab, s.inet, "port%d" % n) for n in (1, 2)]


def failclosed(port, what):
    Causeway.require()
    lab = Lab(name="failclosed")
    with lab:
        s = Sites(lab, xdp=(1, 2) if port == "xdp" else ())
        for n in (1, 2):
            s[n].gw.ip("route add default via 203.0.113.254",
                       "route add default via 2001:db8::fe")
        caps = watch(lab, s)
        for family in (4, 6):
            s[1].host.ping(s[2].host_addr(family), 2, 0.2)
        check(len(leaks(caps)[0]) >= 4, "the test sees no leak where there must be one")

        nodes = [Causeway(lab, s[n], port_kind=port) for n in (1, 2)]
        pair(*nodes)
        for n in nodes:
            n.start()
        for family in (4, 6):
            s[1].host.wait_ping(s[2].host_addr(family), 15)

        caps = watch(lab, s)
        flows = [Udp(lab, (s[1].host, s[1].host_addr(f)), (s[2].host, s[2].host_addr(f)),
                     rate=1000, seconds=12) for f in (4, 6)]
        time.sleep(1)
        us = nodes[0]
        if what == "killed":
            us.kill_dp()
            time.sleep(4)
            s[1].host.ping(s[2].host4, 5, 0.2)
            us.start_dp()
        elif what == "stopped":
            us.dp.signal(signal.SIGSTOP)
            time.sleep(4)
            s[1].host.ping(s[2].host4, 5, 0.2)
            us.dp.signal(signal.SIGCONT)
        elif what == "restarting":
            for _ in range(6):
                us.kill_dp()
                us.start_dp()
                time.sleep(0.7)
        elif what == "terminated":
            us.dp.stop()
            time.sleep(3)
            us.start_dp()
        elif what == "both-killed":
            us.kill_dp()
            us.kill_daemon()
            time.sleep(4)
            us.start_dp()
            us.start_daemon()
        for f in flows:
            f.wait()
        found, data = leaks(caps)
        check(data > 500, "only %d sealed packets seen: did anything run?" % data)
        check(not found, "%d frames in the clear, first: %s\n%s" % (len(found), found[:1],
                                                                 us.logs()))
        # With everything back, so is the traffic.
        s[1].host.wait_ping(s[2].host4, 15)
        return "%d sealed packets seen, none in the clear" % data


WHATS = ("killed", "stopped", "restarting", "terminated", "both-killed")

if __name__ == "__main__":
    sys.exit(main([[("failclosed-%s-%s" % (p, w), lambda p=p, w=w: failclosed(p, w))
                    for w in WHATS] for p in ("kernel", "xdp")], __doc__))
