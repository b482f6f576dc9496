# SPDX-License-Identifier: Apache-2.0
"""The topology of the lab: sites behind gateways around one small internet.

    host1 -- gw1 --(wire1)--(nat1)-- internet --(nat2)--(wire2)-- gw2 -- host2
             eth1  eth0            br0: 203.0.113.0/24, 2001:db8::/64
                                       |
                                      gw3 -- host3   (when asked for)

Site N (not 9) is 10.N.0.0/24 and fd0N::/64 with the gateway at .1 (::1) and the host at .2
(::2). Gateway N is 203.0.113.N and 2001:db8::N outside, or 192.168.N.2 behind a NAT
box that has the outside address; its mesh addresses are 10.9.0.N and fd09::N.
"""

import json
import os
import socket
import threading
import time

from netns import Lab, LabError, helper, wait_for


# The name of an interface that DPDK has: this, and the old one.
DPDK_WIRE = "wire-"


class Site:
    """One site: its namespaces and addresses."""

    def __init__(self, number):
        self.n = number
        self.name = "gw%d" % number
        self.mesh4 = "10.9.0.%d" % number
        self.mesh6 = "fd09::%d" % number
        self.net4 = "10.%d.0.0/24" % number
        self.net6 = "fd%02d::/64" % number
        self.gw4 = "10.%d.0.1" % number
        self.gw6 = "fd%02d::1" % number
        self.host4 = "10.%d.0.2" % number
        self.host6 = "fd%02d::2" % number
        self.wan4 = "203.0.113.%d" % number
        self.wan6 = "2001:db8::%d" % number
        self.allowed = [self.net4, self.net6, self.mesh4 + "/32", self.mesh6 + "/128"]
        self.gw = self.host = self.nat = self.wire = None
        self.nat_wan4 = None
        self.wires = 0

    def host_addr(self, family):
        return self.host4 if family == 4 else self.host6


class Wire:
    """The impaired wire in a site's WAN; side a is the gateway, b the internet."""

    def __init__(self, lab, ns, options, seed):
        self.control = lab.path("wire-%s.sock" % ns.short)
        self.out = lab.path("wire-%s.json" % ns.short)
        self.proc = ns.start("wire", [helper("wire"), "--a", "a", "--b", "b", "--control",
                                      self.control, "--seed", str(seed)] + list(options),
                             stdout=self.out)
        wait_for(lambda: os.path.exists(self.control), 5, "the wire's control socket")

    def ask(self, line):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(self.control)
            s.sendall(line.encode() + b"\n")
            got = b""
            while not got.endswith(b"\n"):
                part = s.recv(65536)
                if not part:
                    break
                got += part
        reply = json.loads(got)
        if not reply.get("ok"):
            raise LabError("wire: %s: %s" % (line, reply.get("error")))
        return reply

    def set(self, direction, **options):
        """direction: ab, ba or both; options as on the command line (delay="20ms")."""
        return self.ask("set %s %s" % (direction, ",".join("%s=%s" % kv for kv in
                                                            options.items())))

    def cut(self):
        return self.ask("set both cut=1")

    def heal(self):
        return self.ask("set both cut=0")

    def stats(self):
        return self.ask("stats")


class Sites:
    """Two or more sites. `xdp` prepares the interfaces for native XDP on veth, `dpdk` for
    DPDK's net_af_packet with a TAP in the interface's place."""

    def __init__(self, lab, count=2, xdp=(), nat=(), wire=(), wire_options=(), seed=1,
                 nat_udp_timeout=None, hosts=1, lan_mtu=1500, dpdk=()):
        self.lab = lab
        self.sites = {}
        self.defaults = (wire_options, seed, nat_udp_timeout, hosts, lan_mtu)
        self.inet = lab.ns("inet")
        self.inet.ip("link add br0 type bridge", "link set br0 up",
                     "addr add 203.0.113.254/24 dev br0",
                     "addr add 2001:db8::fe/64 dev br0 nodad")
        for n in range(1, count + 1):
            self.add(n, n in xdp, n in nat, n in wire, n in dpdk)

    def __getitem__(self, n):
        return self.sites[n]

    def add(self, n, xdp=False, nat=False, wire=False, dpdk=False):
        """One site more."""
        wire_options, seed, nat_udp_timeout, hosts, lan_mtu = self.defaults
        lab, s = self.lab, Site(n)
        self.sites[n] = s
        s.gw, s.host = lab.ns("gw%d" % n), lab.ns("host%d" % n)

        # From the internet towards the gateway: each box takes over "the port outside".
        outer, outer_if = self.inet, "port%d" % n
        chain = []
        if nat:
            s.nat = lab.ns("nat%d" % n)
            s.nat_wan4 = s.wan4
            lab.veth(outer, outer_if, s.nat, "eth0")
            chain.append((outer, outer_if, s.nat, "eth0"))
            self._nat_box(s, nat_udp_timeout)
            outer, outer_if = s.nat, "eth1"
            s.wan4, s.wan6 = "192.168.%d.2" % n, None
        if wire:
            wns = lab.ns("wire%d" % n)
            lab.veth(outer, outer_if, wns, "b")
            lab.veth(wns, "a", s.gw, "eth0")
            # One packet a frame: nothing may be glued before the wire judges it.
            for ns, dev in ((outer, outer_if), (s.gw, "eth0")):
                ns.offload(dev, "tx", "off", "tso", "off", "gso", "off",
                           "tx-udp-segmentation", "off")
            for dev in ("a", "b"):
                wns.offload(dev, "gro", "off")
            wns.sysctl("net.ipv6.conf.a.disable_ipv6", 1, "net.ipv6.conf.b.disable_ipv6", 1)
            wire_ns = wns
        else:
            lab.veth(outer, outer_if, s.gw, "eth0")
            chain.append((outer, outer_if, s.gw, "eth0"))
            wire_ns = None
        if nat:
            s.nat.ip("addr add 192.168.%d.1/24 dev eth1" % n)
        self.inet.ip("link set port%d master br0" % n)
        lab.veth(s.gw, "eth1", s.host, "eth0")
        if dpdk:
            for dev in ("eth0", "eth1"):
                self.give_to_dpdk(s.gw, dev)

        s.gw.sysctl("net.ipv4.ip_forward", 1, "net.ipv6.conf.all.forwarding", 1,
                    "net.ipv4.conf.all.rp_filter", 0, "net.ipv4.conf.default.rp_filter", 0)
        s.gw.ip("link set eth1 mtu %d" % lan_mtu, "addr add %s/24 dev eth0" % s.wan4,
                "addr add %s/24 dev eth1" % s.gw4, "addr add %s/64 dev eth1 nodad" % s.gw6)
        if s.wan6:
            s.gw.ip("addr add %s/64 dev eth0 nodad" % s.wan6)
        if nat:
            s.gw.ip("route add default via 192.168.%d.1" % n)
        s.host.ip("link set eth0 mtu %d" % lan_mtu, "addr add %s/24 dev eth0" % s.host4,
                  "addr add %s/64 dev eth0 nodad" % s.host6,
                  "route add default via %s" % s.gw4, "route add default via %s" % s.gw6)
        for h in range(1, hosts):
            s.host.ip("addr add 10.%d.0.%d/24 dev eth0" % (n, 2 + h),
                      "addr add fd%02d::%x/64 dev eth0 nodad" % (n, 2 + h))
        if xdp:
            self.prepare_xdp(s, chain)
        if dpdk:
            self.finish_checksums(s, chain)
        if wire_ns:
            s.wire = Wire(lab, wire_ns, wire_options, seed + n)

    def _nat_box(self, s, udp_timeout):
        s.nat.ip("addr add %s/24 dev eth0" % s.nat_wan4)
        s.nat.sysctl("net.ipv4.ip_forward", 1)
        s.nat.nft("""
table ip nat {
	chain out {
		type nat hook postrouting priority srcnat;
		oifname "eth0" masquerade
	}
}
table ip guard {
	chain in {
		type filter hook input priority filter;
		iifname "eth0" ip protocol udp ct state new drop
	}
	chain through {
		type filter hook forward priority filter;
		iifname "eth0" ct state new drop
	}
}
""")
        if udp_timeout:
            s.nat.sysctl("net.netfilter.nf_conntrack_udp_timeout", udp_timeout,
                         "net.netfilter.nf_conntrack_udp_timeout_stream", udp_timeout)

    @staticmethod
    def give_to_dpdk(gw, dev):
        """Interface `dev` becomes the wire behind net_af_packet, and a TAP takes its name. What
        DPDK has seen the kernel must not see as well."""
        wire = DPDK_WIRE + dev
        gw.ip("link set %s down" % dev, "link set %s name %s" % (dev, wire))
        gw.sysctl("net.ipv6.conf.%s.disable_ipv6" % wire, 1)
        gw.nft("table netdev %s {\n chain c {\n  type filter hook ingress device \"%s\" priority 0;\n"
               "  drop\n }\n}\n" % (dev, wire))
        gw.offload(wire, "gro", "off")
        gw.ip("link set %s up" % wire, "tuntap add dev %s mode tap" % dev, "link set %s up" % dev)

    @staticmethod
    def finish_checksums(s, chain=()):
        """A frame comes to DPDK as its sender left it: whole, and one packet."""
        off = ("tx", "off", "tso", "off", "gso", "off", "tx-udp-segmentation", "off")
        s.host.offload("eth0", *off)
        for outer, outer_if, _, _ in chain:
            outer.offload(outer_if, *off)

    @staticmethod
    def prepare_xdp(s, chain=()):
        """Native XDP on veth sees checksums left to hardware and needs NAPI: finish
        checksums at every end that sends into the gateway, switch GRO on at both."""
        s.host.offload("eth0", "tx", "off")
        s.host.offload("eth0", "gro", "on")
        s.gw.offload("eth0", "gro", "on", "tx", "off")
        s.gw.offload("eth1", "gro", "on", "tx", "off")
        for outer, outer_if, _, _ in chain:
            outer.offload(outer_if, "gro", "on", "tx", "off")


class SharedPairs:
    """Pairs of sites around one internet, for cases that run side by side because they wait
    on real timers. They count every packet for minutes, so other work of the machine must
    not hold them up. The first pair makes the lab; cases.main() removes it."""

    def __init__(self, name):
        self.name, self.lock = name, threading.Lock()
        self.lab = self.sites = None
        self.numbers = iter([n for n in range(1, 100) if n != 9])

    def pair(self, xdp=()):
        """(the lab, {1: a site, 2: another}); xdp holds 1, 2 or both."""
        with self.lock:
            if not self.lab:
                self.lab = Lab(name=self.name, first=True)
                self.sites = Sites(self.lab, count=0)
            s = {}
            for i in (1, 2):
                n = next(self.numbers)
                self.sites.add(n, xdp=i in xdp)
                s[i] = self.sites[n]
            return self.lab, s


def renumber(site, new4):
    """Give a gateway another outside address, as a DHCP change would."""
    site.gw.ip("addr del %s/24 dev eth0" % site.wan4, "addr add %s/24 dev eth0" % new4)
    site.wan4 = new4
    time.sleep(0.05)
