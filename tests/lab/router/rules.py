# SPDX-License-Identifier: Apache-2.0
"""The packet filter of a gateway."""

import json
import time

from cases import check
from flows import Udp, account, lost
from nodes import pair
from router.hub import serve
from router.packets import all_pings, ping
from router.stage import FAMILIES


def build_filter(st):
    s = st.sites(2)
    st.nodes = {1: st.node(1, filter_=[]), 2: st.node(2, filter_=None)}
    pair(st.nodes[1], st.nodes[2])
    for n in (1, 2):
        for port in (7000, 7001):
            s[n].host.start("echo%d" % port, ["socat", "UDP6-LISTEN:%d,fork,ipv6only=0" % port,
                                              "EXEC:cat"])
        serve(s[n].host)
    st.reach = []


def udp_answers(ns, dst, port):
    name = "UDP6:[%s]:%d" if ":" in dst else "UDP4:%s:%d"
    return ns.sh("socat", "-t", 0.7, "-T", 1, "-", name % (dst, port), text_in="hello\n",
                 check=False).stdout == "hello\n"


def tcp_opens(ns, dst):
    name = "TCP6:[%s]:7000" if ":" in dst else "TCP4:%s:7000"
    return ns.sh("socat", "-u", "/dev/null", name % dst + ",connect-timeout=1",
                 check=False).returncode == 0


def set_filter(node, rules):
    node.filter = rules
    node.write_config()
    node.cli("reload")


def filter_none(st):
    """Nothing passes without a filter, and status says why."""
    s = st.s
    for family in FAMILIES:
        check(not ping(s[1].host, s[2].host_addr(family), count=2)[0], "ping passes")
        check(not ping(s[2].host, s[1].host_addr(family), count=2)[0], "ping passes")
    check(not udp_answers(s[1].host, s[2].host4, 7000), "UDP passes")
    p = st.nodes[2].cli("status")
    check("packet filter" in p.stdout and "filter" in json.dumps(st.nodes[2].status()["Health"]),
          "status: " + p.stdout)
    set_filter(st.nodes[2], "allow-all")
    set_filter(st.nodes[1], "allow-all")
    for family in FAMILIES:
        s[1].host.wait_ping(s[2].host_addr(family), 15)


def rules(st, ports, proto=("udp",)):
    return [{"src": [st.s[1].net4, st.s[1].net6], "proto": list(proto),
             "dst": ["%s:%s" % (st.s[2].net4, ports),
                     "[%s]:%s" % (st.s[2].net6, ports)]}]


def filter_rules(st):
    """Only what a rule allows passes, and answers to what went out."""
    s = st.s
    set_filter(st.nodes[1], [])
    set_filter(st.nodes[2], rules(st, 7000))
    for family in FAMILIES:
        a, b = s[1].host_addr(family), s[2].host_addr(family)
        check(udp_answers(s[1].host, b, 7000), "IPv%d: the allowed port does not answer" % family)
        check(not udp_answers(s[1].host, b, 7001), "IPv%d: another port answers" % family)
        check(not udp_answers(s[2].host, a, 7000), "IPv%d: the other way answers" % family)
        check(not tcp_opens(s[1].host, b), "IPv%d: TCP passes" % family)
        # Whom any rule lets reach an address may ping it.
        all_pings(s[1].host, b)
        check(not ping(s[2].host, a, count=2)[0], "IPv%d: ping passes the other way" % family)
    dropped = st.nodes[2].counters()
    name = next(k for k in dropped if k.lower().endswith("filter_no_rule"))
    check(dropped[name] > 0, "%s not counted" % name)


def filter_reload(st):
    """New rules at once, and live flows do not notice."""
    s, ends = st.s, [(st.s[n].host, st.s[n].host4) for n in (1, 2)]
    set_filter(st.nodes[1], [])
    both = rules(st, "7000,9000")
    set_filter(st.nodes[2], both)
    # Site 1 lets in answers alone: its host has to speak first.
    flow = Udp(st.lab, *ends, rate=2000, seconds=6, wait=(1.0, 1.2))
    time.sleep(2)
    check(not tcp_opens(s[1].host, s[2].host4), "TCP passes before")
    set_filter(st.nodes[2], both + rules(st, 7000, ["tcp"]))
    check(tcp_opens(s[1].host, s[2].host4), "TCP does not pass after the reload")
    check(tcp_opens(s[1].host, s[2].host6), "TCP over IPv6 does not pass after the reload")
    set_filter(st.nodes[2], rules(st, 7001))
    check(not tcp_opens(s[1].host, s[2].host4), "TCP passes after its rule went")
    check(not udp_answers(s[1].host, s[2].host4, 7000), "UDP passes after its rule went")
    check(udp_answers(s[1].host, s[2].host4, 7001), "the new rule's port does not answer")
    got = flow.wait()
    check(lost(got) == (0, 0), "the live flow: " + account(got))
