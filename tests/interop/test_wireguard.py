#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that Causeway and other WireGuard implementations understand each other: who begins,
rekeying, roaming, keepalives through NAT, cookies, a hub between foreign spokes, traceroute.

Site 1 has Causeway on its gateway, the others wireguard-go or boringtun, configured by `wg`.
With CAUSEWAY_LAB_OURS=wireguard-go (or boringtun) that stands on site 1 too, which checks the
tests themselves."""

import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from capture import Capture, udp_payload  # noqa: E402
from cases import check, main  # noqa: E402
from flows import Udp, account, affordable, lost, tcp, tcp_gbit  # noqa: E402
from netns import Lab, wait_for  # noqa: E402
from nodes import Boringtun, Causeway, WireguardGo, genpsk, pair  # noqa: E402
from topology import SharedPairs, Sites, renumber  # noqa: E402

FOREIGN = {"go": WireguardGo, "boringtun": Boringtun}
OURS = {"causeway": Causeway, "wireguard-go": WireguardGo,
        "boringtun": Boringtun}[os.environ.get("CAUSEWAY_LAB_OURS", "causeway")]
REKEY_SECONDS = 150
REKEY_PPS = affordable(1000, 300)


def our_node(lab, site, port):
    if OURS is Causeway:
        return Causeway(lab, site, port_kind=port)
    return OURS(lab, site)


def lab_of(port, **kw):
    if OURS is Causeway:
        Causeway.require()
    lab = Lab(name="interop")
    try:
        return lab, Sites(lab, xdp=(1,) if port == "xdp" else (), **kw)
    except BaseException:
        lab.close()
        raise


def logs(*nodes):
    return "\n" + "\n".join(n.logs() for n in nodes)


def both_families(s, a=1, b=2, seconds=8):
    for family in (4, 6):
        s[a].host.wait_ping(s[b].host_addr(family), seconds)


def handshake(foreign, port, by, outer=4):
    """by: "us" or "them"; the other side knows no endpoint and can only answer."""
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        psk = genpsk()
        us.add_peer(them, endpoint=by == "us", psk=psk, family=outer)
        them.add_peer(us, endpoint=by == "them", psk=psk, family=outer)
        them.start()
        us.start()
        first, second = (1, 2) if by == "us" else (2, 1)
        # Packets that come before the handshake wait for it: the first is not lost.
        got, _ = s[first].host.ping(s[second].host4, 1, 6)
        check(got == 1, "the first packet was not answered" + logs(us, them))
        both_families(s, first, second)
        both_families(s, second, first)
        check(them.show()[us.public]["handshake"], "no handshake in `wg show`")


def wrong_psk(foreign, port):
    """Different preshared keys: nothing may pass."""
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        us.add_peer(them, psk=genpsk())
        them.add_peer(us, psk=genpsk())
        them.start()
        us.start()
        check(s[1].host.ping(s[2].host4, 3, 2)[0] == 0, "a reply under different keys")
        check(s[2].host.ping(s[1].host4, 3, 2)[0] == 0, "a reply under different keys")


# Whatever waits for the 120 s is in one topology, all at a time.
WAITS = SharedPairs("rekey")


def rekey(foreign, port, by):
    """A live flow each way over a rekeying loses nothing; `by` began the session."""
    if OURS is Causeway:
        Causeway.require()
    lab, s = WAITS.pair(xdp=(1,) if port == "xdp" else ())
    us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
    us.add_peer(them, endpoint=by == "us")
    them.add_peer(us, endpoint=by == "them")
    them.start()
    us.start()
    first, second = (1, 2) if by == "us" else (2, 1)
    s[first].host.wait_ping(s[second].host4, 10)
    before = them.show()[us.public]["handshake"]
    flow = Udp(lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=REKEY_PPS,
               seconds=REKEY_SECONDS)
    reports = flow.wait()
    after = them.show()[us.public]["handshake"]
    check(after > before, "no rekeying in %d s" % REKEY_SECONDS)
    check(min(r["tx"]["sent"] for r in reports) > REKEY_SECONDS * REKEY_PPS * 0.99, "the "
          "source was held up: " + account(reports))
    check(lost(reports) == (0, 0), account(reports) + logs(us, them))
    return "rekeyed after %d s, %d packets each way" % (after - before, reports[0]["tx"]["sent"])


def roam_them(foreign, port):
    """The far side gets another address: the next packet from it moves our endpoint."""
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        pair(us, them)
        them.start()
        us.start()
        s[1].host.wait_ping(s[2].host4, 10)
        renumber(s[2], "203.0.113.22")
        took = s[2].host.wait_ping(s[1].host4, 8)
        got, _ = s[1].host.ping(s[2].host4, 5, 1)
        check(got == 5, "after roaming only %d of 5 answered%s" % (got, logs(us, them)))
        if OURS is Causeway:
            addrs = [p.get("CurAddr") for p in us.status()["Peer"].values()]
            check(addrs == ["203.0.113.22:%d" % them.port], "status says %s" % addrs)
        return "%.1f s" % took


def roam_us(foreign, port):
    """Our address changes: our next packet moves their endpoint."""
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        pair(us, them)
        them.start()
        us.start()
        s[1].host.wait_ping(s[2].host4, 10)
        renumber(s[1], "203.0.113.11")
        took = s[1].host.wait_ping(s[2].host4, 8)
        got, _ = s[2].host.ping(s[1].host4, 5, 1)
        check(got == 5, "after roaming only %d of 5 answered%s" % (got, logs(us, them)))
        at = them.show()[us.public]["endpoint"]
        check(at == "203.0.113.11:%d" % us.port, "they send to %s" % at)
        return "%.1f s" % took


# Idle for less than the 10 s after which WireGuard itself answers data with a keepalive.
NAT_TIMEOUT, IDLE = 4, 8


def keepalive(foreign, port, natted, interval=2):
    """`natted` ("us" or "them") is behind a NAT that forgets after 4 s. Its persistent
    keepalive keeps the way in open over 8 s without traffic; without one it closes."""
    n = 1 if natted == "us" else 2
    lab, s = lab_of(port, nat=(n,), nat_udp_timeout=NAT_TIMEOUT)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        us.add_peer(them, endpoint=natted == "us", keepalive=interval if natted == "us" else 0)
        them.add_peer(us, endpoint=natted != "us", keepalive=interval if natted != "us" else 0)
        them.start()
        us.start()
        inside, outside = (1, 2) if natted == "us" else (2, 1)
        if interval:
            # The keepalive alone begins the session: nothing is sent from inside.
            s[outside].host.wait_ping(s[inside].host4, 15)
        else:
            s[inside].host.wait_ping(s[outside].host4, 15)
        time.sleep(IDLE)
        got, _ = s[outside].host.ping(s[inside].host4, 1, 1)
        if interval:
            check(got == 1, "no way in after %d s" % IDLE + logs(us, them))
        else:
            check(got == 0, "a way in without keepalives: the NAT does not forget")


def flood_argv(node, rate, seconds, sources):
    return [sys.executable, os.path.join(HERE, "flood.py"), node.site.wan4, node.port,
            node.public, rate, seconds, ",".join(sources)]


def cookies(foreign, port, flooded):
    """`flooded` ("us" or "them") is under a handshake flood: the other still gets through,
    and with the cookie it was sent. Who meets a short queue needs none, and a fast machine
    may keep up with a flood: three attempts, each harder."""
    for rate in (20000, 40000, 80000):
        cookie, mac2, note = one_flood(foreign, port, flooded, rate)
        if cookie:
            check(mac2 > 0, "a cookie was not used: " + note)
            return note
    check(False, "no cookie was asked for: " + note)


def one_flood(foreign, port, flooded, rate):
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), FOREIGN[foreign](lab, s[2])
        pair(us, them)
        them.start()
        us.start()
        # So many that no limit of a single source holds the flood back.
        sources = ["203.0.113.%d" % (30 + i) for i in range(200)]
        s.inet.ip(*["addr add %s/24 dev br0" % a for a in sources])
        target, n, m = (us, 1, 2) if flooded == "us" else (them, 2, 1)
        cap = Capture(lab, s.inet, "port%d" % m, "udp and host %s and host %s" %
                      (s[1].wan4, s[2].wan4))
        out = lab.path("flood.json")
        flood = s.inet.start("flood", flood_argv(target, rate, 30, sources), stdout=out)
        time.sleep(2)
        took = s[m].host.wait_ping(s[n].host4, 25)
        flood.stop()
        seen = [udp_payload(f) for _, f in cap.stop()]
        seen = [p for p in seen if p and len(p[4]) >= 1]
        sent_by = s[m].wan4
        cookie = sum(1 for p in seen if p[4][0] == 3 and p[2] == sent_by)
        mac2 = sum(1 for p in seen if p[0] == sent_by and p[4][0] == 1 and len(p[4]) >= 148 and
                   any(p[4][132:148]))
        with open(out) as f:
            report = json.load(f)
        note = "through after %.1f s, %d cookies, %d with mac2; flood %d sent, answers %s" % (
            took, cookie, mac2, report["sent"], report["received"])
        check(report["received"].get("2", 0) == 0, "answered a forged initiation: " + note)
        return cookie, mac2, note


def hub(port, second="boringtun"):
    """Two foreign spokes reach each other through our gateway."""
    lab, s = lab_of(port, count=3)
    with lab:
        us = our_node(lab, s[1], port)
        a, b = WireguardGo(lab, s[2]), FOREIGN[second](lab, s[3])
        us.add_peer(a).add_peer(b)
        a.add_peer(us, allowed=s[1].allowed + s[3].allowed)
        b.add_peer(us, allowed=s[1].allowed + s[2].allowed)
        for n in (a, b, us):
            n.start()
        both_families(s, 1, 2)
        both_families(s, 1, 3)
        both_families(s, 2, 3)
        for family in (4, 6):
            ends = [(s[n].host, s[n].host_addr(family)) for n in (2, 3)]
            reports = Udp(lab, *ends, rate=2000, seconds=2).wait()
            check(lost(reports) == (0, 0), account(reports) + logs(us, a, b))
        rate = tcp_gbit(tcp(s[2].host, s[3].host, s[3].host4, 2))
        check(rate > 0.05, "TCP between the spokes: %.3f Gbit/s" % rate)
        return "TCP %.2f Gbit/s" % rate


def hops(text):
    """Addresses by hop of `traceroute -n -q 1`, * as None."""
    out = []
    for line in text.splitlines():
        m = re.match(r"\s*\d+\s+(\S+)", line)
        if m:
            out.append(None if m.group(1) == "*" else m.group(1))
    return out


def traceroute(port):
    """Both gateways show as hops, from either side, IPv4 and IPv6."""
    lab, s = lab_of(port)
    with lab:
        us, them = our_node(lab, s[1], port), WireguardGo(lab, s[2])
        pair(us, them)
        them.start()
        us.start()
        both_families(s)
        for family in (4, 6):
            for n, m in ((1, 2), (2, 1)):
                near, far = s[n], s[m]
                p = near.host.sh("traceroute", "-%d" % family, "-n", "-q", 1, "-w", 2, "-m", 5,
                                 far.host_addr(family), check=False, timeout=60)
                got = hops(p.stdout)
                mine = (near.gw4, near.mesh4) if family == 4 else (near.gw6, near.mesh6)
                theirs = (far.gw4, far.mesh4, far.wan4) if family == 4 else \
                    (far.gw6, far.mesh6, far.wan6)
                check(len(got) == 3 and got[0] in mine and got[1] in theirs and
                      got[2] == far.host_addr(family),
                      "host%d -> host%d: %s%s" % (n, m, p.stdout, logs(us, them)))


def case(fn, *args):
    return "-".join([fn.__name__] + [str(a) for a in args]), lambda: fn(*args)


PORTS = ("kernel", "xdp")
QUICK = [case(handshake, f, p, by) for f in FOREIGN for p in PORTS for by in ("us", "them")] + \
    [case(handshake, f, p, "us", 6) for f in FOREIGN for p in PORTS] + \
    [case(wrong_psk, "go", p) for p in PORTS] + \
    [case(roam_them, f, p) for f in FOREIGN for p in PORTS] + \
    [case(roam_us, f, p) for f in FOREIGN for p in PORTS] + \
    [case(traceroute, p) for p in PORTS]
WAITING = [case(keepalive, "go", p, who) for p in PORTS for who in ("us", "them")] + \
    [case(keepalive, "boringtun", "kernel", "them"), case(keepalive, "go", "kernel", "us", 0)]
LOADED = [case(cookies, f, p, who) for f in FOREIGN for p in PORTS for who in ("us", "them")] + \
    [case(hub, p) for p in PORTS]
LONG = [case(rekey, f, p, by) for f in FOREIGN for p in PORTS for by in ("us", "them")]

if __name__ == "__main__":
    # Loaded ones alone, one after the other: their timing is what they show.
    sys.exit(main([QUICK[i:i + 4] for i in range(0, len(QUICK), 4)] + [WAITING] +
                  [[c] for c in LOADED] + [LONG], __doc__))
