# SPDX-License-Identifier: Apache-2.0
"""An internet with nodes behind NATs of several kinds, for what must work across them.

    node1 -- nat1 --+                        +-- nat2 -- node2
                    |                        |
                  internet: br0, 203.0.113.0/24, 2001:db8::/64
                    |             |
                  relay1 ...    coord (10.254.0.1)

Node N is 203.0.113.N and 2001:db8::N where it is `open`; else its box has these addresses and
the node is 192.168.N.2 and, where it has IPv6, fd00:N::2 behind the same kind of NAT. Kinds:

    open    no NAT, no firewall
    eim     one mapping for all destinations; only exact answers come in
    sym     a random port for each destination; only exact answers come in
    noudp   as eim, and no UDP passes in either direction

All boxes drop what is new to themselves from outside: conntrack would else give it the tuple that
a node behind wants to use. A coordinator stands at a private address, since stock nodes insist on
port 443 of a public one when they come back."""

import re

from netns import tool

KINDS = ("open", "eim", "sym", "noudp")
COORD = "10.254.0.1"
_SOURCE = {"eim": "masquerade", "sym": "masquerade random,fully-random", "noudp": "masquerade"}
_RULES = """
table inet nat {
	chain out {
		type nat hook postrouting priority srcnat;
		oifname "eth0" %(source)s
	}
}
table inet guard {
	chain in {
		type filter hook input priority filter;
		iifname "eth0" ct state new meta l4proto { tcp, udp } drop
	}
	chain through {
		type filter hook forward priority filter;
		%(through)s
		iifname "eth0" ct state new drop
	}
}
"""


class Place:
    """Where a node stands: `ns` is its namespace, `box` its NAT (None where it is open)."""

    def __init__(self, internet, number, kind, v6):
        self.n, self.kind, self.has_v6 = number, kind, v6
        self.name = "n%d" % number
        self.outside4, self.outside6 = "203.0.113.%d" % number, "2001:db8::%x" % number
        self.box = None
        lab = internet.lab
        self.ns = lab.ns(self.name)
        if kind == "open":
            internet.attach(self.ns, number, v6)
            self.inside4, self.inside6 = self.outside4, self.outside6
            return
        self.inside4, self.inside6 = "192.168.%d.2" % number, "fd00:%x::2" % number
        self.box = lab.ns("nat%d" % number)
        internet.attach(self.box, number, v6)
        lab.veth(self.box, "eth1", self.ns, "eth0")
        self.box.sysctl("net.ipv4.ip_forward", 1, "net.ipv6.conf.all.forwarding", 1)
        self.box.ip("addr add 192.168.%d.1/24 dev eth1" % number)
        self.ns.ip("addr add %s/24 dev eth0" % self.inside4,
                   "route add default via 192.168.%d.1" % number)
        if v6:
            self.box.ip("addr add fd00:%x::1/64 dev eth1 nodad" % number)
            self.ns.ip("addr add %s/64 dev eth0 nodad" % self.inside6,
                       "route add default via fd00:%x::1" % number)
        self.box.nft(_RULES % {"source": _SOURCE[kind],
                               "through": "meta l4proto udp drop" if kind == "noudp" else ""})

    def addresses(self):
        """All addresses with which others may see this node."""
        out = [self.outside4] + [self.inside4] * (self.box is not None)
        if self.has_v6:
            out += [self.outside6] + [self.inside6] * (self.box is not None)
        return out

    def remap(self, first, last):
        """The box forgets all mappings, and the next ones get ports from another range."""
        self.box.sh("nft", "flush", "chain", "inet", "nat", "out")
        flags = " random,fully-random" if self.kind == "sym" else ""
        self.box.nft('add rule inet nat out oifname "eth0" meta l4proto { tcp, udp } '
                     'masquerade to :%d-%d%s' % (first, last, flags))
        self.box.nft('add rule inet nat out oifname "eth0" masquerade')
        self.box.sh(tool("conntrack"), "-F")

    def count_to(self, other, over=0):
        """From now on, counts UDP of more than `over` bytes straight to the other: sent_to()."""
        rules = "".join("\t\tmeta l4proto udp meta length > %d %s daddr %s counter\n" %
                        (over, "ip6" if ":" in a else "ip", a) for a in other.addresses())
        self.ns.nft("table inet to%d {\n\tchain out {\n\t\ttype filter hook output priority "
                    "filter;\n%s\t}\n}\n" % (other.n, rules))

    def sent_to(self, other):
        """Bytes since count_to()."""
        return counted(self.ns, "to%d" % other.n)[1]


def counted(ns, table):
    """(packets, bytes) of all counters in an inet table."""
    text = ns.sh("nft", "list", "table", "inet", table).stdout
    found = [(int(p), int(b)) for p, b in re.findall(r"counter packets (\d+) bytes (\d+)", text)]
    return sum(p for p, _ in found), sum(b for _, b in found)


class Internet:
    def __init__(self, lab):
        self.lab = lab
        self.ns = lab.ns("inet")
        self.ns.ip("link add br0 type bridge", "link set br0 up", "addr add 203.0.113.254/24 dev br0")

    def attach(self, ns, number, v6=True):
        """eth0 of ns becomes 203.0.113.N and 2001:db8::N."""
        port = "p%d" % number
        self.lab.veth(self.ns, port, ns, "eth0")
        self.ns.ip("link set %s master br0" % port)
        ns.ip("addr add 203.0.113.%d/24 dev eth0" % number,
              "route add %s/32 via 203.0.113.250" % COORD)
        if v6:
            ns.ip("addr add 2001:db8::%x/64 dev eth0 nodad" % number)

    def server(self, short, number):
        """A namespace for a relay or the like."""
        ns = self.lab.ns(short)
        self.attach(ns, number)
        return ns

    def coordinator(self):
        """The namespace of 10.254.0.1, to which all nodes have a way."""
        ns = self.lab.ns("coord")
        self.lab.veth(self.ns, "p250", ns, "eth0")
        self.ns.ip("link set p250 master br0")
        ns.ip("addr add 203.0.113.250/24 dev eth0", "addr add 2001:db8::fa/64 dev eth0 nodad",
              "addr add %s/32 dev lo" % COORD)
        return ns

    def place(self, number, kind, v6=False):
        """Node N's place, N under 200."""
        return Place(self, number, kind, v6)
