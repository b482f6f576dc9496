# SPDX-License-Identifier: Apache-2.0
"""Packets as a router leaves them, and where to catch them."""

import ipaddress
import json
import re
import struct

from capture import Capture, udp_payload
from cases import check


def ip_sum(header):
    total = sum(struct.unpack("!%dH" % (len(header) // 2), header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Ip:
    """An IP packet of an Ethernet frame: what routers may change of it."""

    def __init__(self, frame):
        p = frame[14:]
        self.version = p[0] >> 4
        if self.version == 4:
            head = (p[0] & 15) * 4
            self.tos, self.len, self.ttl, self.proto = p[1], *struct.unpack("!H", p[2:4]), p[8], \
                p[9]
            self.df, self.fragment = p[6] & 0x40, struct.unpack("!H", p[6:8])[0] & 0x3fff
            self.sum_ok = ip_sum(p[:head]) == 0xffff
            self.src, self.dst = p[12:16], p[16:20]
        else:
            head = 40
            self.tos = struct.unpack("!H", p[:2])[0] >> 4 & 0xff
            self.len, self.proto, self.ttl = struct.unpack("!HBB", p[4:8])
            self.len += 40
            self.df, self.sum_ok = 0x40, True
            self.fragment = self.proto == 44
            self.src, self.dst = p[8:24], p[24:40]
        self.src, self.dst = (str(ipaddress.ip_address(x)) for x in (self.src, self.dst))
        self.payload = p[head:]

    def mss(self):
        """The MSS option of a TCP SYN, or None."""
        t = self.payload
        if self.proto != 6 or not t[13] & 2:
            return None
        opts, i = t[20:(t[12] >> 4) * 4], 0
        while i < len(opts) and opts[i]:
            if opts[i] == 1:
                i += 1
                continue
            if opts[i] == 2:
                return struct.unpack("!H", opts[i + 2:i + 4])[0]
            i += opts[i + 1]
        return 0


def mac(ns, dev):
    return json.loads(ns.sh("ip", "-j", "link", "show", dev).stdout)[0]["address"]


def arriving(st, ns, expr):
    """Capture of what comes to a host. By address: tcpdump's `inbound` misses the first one."""
    return Capture(st.lab, ns, "eth0", "ether dst %s and (%s)" % (mac(ns, "eth0"), expr), snap=128)


def leaving(st, n, expr):
    """Capture, behind its wire, of what gateway n sends to the internet."""
    return Capture(st.lab, st.s.inet, "port%d" % n,
                   "ether src %s and (%s)" % (mac(st.s[n].gw, "eth0"), expr), snap=128)


def ip_packets(capture):
    return [Ip(f) for _, f in capture.stop()
            if len(f) >= 34 and struct.unpack("!H", f[12:14])[0] in (0x0800, 0x86dd)]


def ping(ns, dst, *args, count=3, size=56, interval=0.2):
    """(received, what ping printed)."""
    p = ns.sh("ping", "-n", "-c", count, "-i", interval, "-W", 1, "-s", size, *args, dst,
              check=False, timeout=60)
    got = re.search(r"(\d+) received", p.stdout)
    return int(got.group(1)) if got else 0, p.stdout


def all_pings(ns, dst, *args, **kw):
    got, out = ping(ns, dst, *args, **kw)
    check(got == kw.get("count", 3), "ping %s from %s: %s" % (dst, ns.short, out.strip()))


def sealed(cap):
    out = []
    for _, f in cap.stop():
        u = udp_payload(f)
        if u and u[4][:1] == b"\4":
            out.append(Ip(f))
    return out
