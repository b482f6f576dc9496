#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that a gateway is a router: hops, TTL and checksums, the peer's MTU, fragments, ECN,
neighbours, routes of the kernel that change, the filter, full tunnels, and rest when idle.

Each topology is built when its first case runs; its cases run one after another, those of
different topologies side by side."""

import sys

from cases import main
from router.ecn import ecn_bulk, ecn_bulk_dropped, ecn_marked, ecn_outer
from router.forwarding import (
    build_mixed, build_pair, down_up, fragments, kernel_routes_win, lan_mtu, mtu_limit,
    time_exceeded, traceroute, ttl_and_checksum, wan_renumbered)
from router.full import build_full, full_tunnel, full_tunnel_bulk
from router.hub import (
    build_hub, hub_time_exceeded, hub_ttl, mss_clamp, mtu_fragmented, mtu_too_big)
from router.idle import idle
from router.lans import build_lans, default_route, lan_routes, two_lans
from router.neighbours import gateway_moves, neighbour_kept, neighbour_moves, neighbour_resolved
from router.rules import build_filter, filter_none, filter_reload, filter_rules
from router.stage import Stage

PAIR = (traceroute, ttl_and_checksum, time_exceeded, fragments, lan_mtu, kernel_routes_win,
        wan_renumbered, mtu_limit, down_up)
ECN = (ecn_outer, ecn_marked, ecn_bulk, ecn_bulk_dropped)
MIXED = (ttl_and_checksum, fragments, ecn_marked, ecn_bulk)
HUB = (mtu_fragmented, mtu_too_big, mss_clamp, hub_time_exceeded, hub_ttl)
LANS = (two_lans, lan_routes, default_route)
LANS_MORE = {"xdp": (neighbour_resolved, neighbour_kept, neighbour_moves, gateway_moves),
             "dpdk": (neighbour_resolved, neighbour_kept, neighbour_moves)}
FILTER = (filter_none, filter_rules, filter_reload)
FULL = (full_tunnel, full_tunnel_bulk)


def pair_cases(port):
    """net_af_packet puts fragments together and cuts what is then too long: no case for it."""
    return tuple(f for f in PAIR if port != "dpdk" or f is not fragments)


def cases():
    """In turns, so that the cases that run together are of different topologies."""
    queues = []
    for port in ("kernel", "xdp", "dpdk"):
        for build, fns in ((build_lans, LANS + LANS_MORE.get(port, ())),
                           (build_pair, pair_cases(port)), (build_pair, ECN), (build_hub, HUB),
                           (build_filter, FILTER), (build_full, FULL), (build_pair, (idle,))):
            stage = Stage(port, build)
            queues.append([stage.case(f.__name__.replace("_", "-"), f) for f in fns])
    stage = Stage("mixed", build_mixed)
    queues.append([stage.case(f.__name__.replace("_", "-"), f) for f in MIXED])
    out = []
    while any(queues):
        out += [q.pop(0) for q in queues if q]
    return out


if __name__ == "__main__":
    sys.exit(main([cases()], __doc__))
