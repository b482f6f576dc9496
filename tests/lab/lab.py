#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lab: sites joined through gateways, real traffic between their hosts.

As a mesh (lab_mesh.py): a coordinator and a relay of ours, two gateways behind NATs and, where it
is installed, a stock tailscaled; by the relay first, then direct. With --static two gateways that
know each other from files, once over `kernel` ports and once over `xdp` ports. Ping, TCP and UDP
of 64 B, both ways, IPv4 and IPv6; then the drops that mean a fault, which must be none. Ends 0
only if all is well and leaves nothing behind; --keep leaves it running until --down."""

import argparse
import json
import sys

import lab_mesh
import netns
from flows import Udp, lost, tcp, tcp_gbit
from netns import Lab, LabError, Skip
from nodes import Boringtun, Causeway, WireguardGo, pair, genpsk
from topology import Sites

NODES = {"causeway": Causeway, "wireguard-go": WireguardGo, "boringtun": Boringtun}
UDP_PPS = 5000
LOSS_LIMIT_PCT = 0.1
COLUMNS = ("from", "to", "family", "port", "path", "rtt_us", "tcp_gbit", "loss_pct")


def path_of(node, other):
    """What the node itself says of its path to the other, where it says anything."""
    if isinstance(node, Causeway):
        for p in node.status().get("Peer", {}).values():
            if p.get("CurAddr"):
                return "direct %s" % p["CurAddr"]
            if p.get("Relay"):
                return "relay %s" % p["Relay"]
        return "unknown"
    return "direct %s" % node.show()[other.public]["endpoint"]


def case_name(row):
    return "%s-%s-%s-%s" % (row["from"], row["to"], row["family"], row["port"])


def health_name(port):
    return "no-fault-drops-" + port


def measure(lab, sites, nodes, port, seconds, rows, problems):
    for family in (4, 6):
        ends = [(sites[n].host, sites[n].host_addr(family)) for n in (1, 2)]
        reports = Udp(lab, *ends, rate=UDP_PPS, seconds=seconds).wait()
        gone = lost(reports)
        for i in (0, 1):
            a, b = ends[i], ends[1 - i]
            got, rtt = a[0].ping(b[1], 20, interval=0.02)
            sent = reports[i]["tx"]["sent"]
            row = {"from": a[0].short, "to": b[0].short, "family": "ipv%d" % family,
                   "port": port, "path": path_of(nodes[i], nodes[1 - i]),
                   "tcp_gbit": round(tcp_gbit(tcp(a[0], b[0], b[1], seconds)), 3),
                   "loss_pct": round(100.0 * gone[i] / sent, 3) if sent else 100.0,
                   "rtt_us": round(rtt) if rtt else None}
            rows.append(row)
            case = case_name(row)
            if got != 20:
                problems.append((case, "%s -> %s: %d of 20 pings answered" %
                                 (row["from"], b[1], got)))
            if row["loss_pct"] > LOSS_LIMIT_PCT or not sent:
                problems.append((case, "%s -> %s: %d of %d UDP packets lost" %
                                 (row["from"], b[1], gone[i], sent)))
            if row["tcp_gbit"] <= 0:
                problems.append((case, "%s -> %s: no TCP" % (row["from"], b[1])))


def one_port(port, kind, a, rows, problems, done):
    lab = Lab(keep=a.keep, name="lab " + port)
    with lab:
        sites = Sites(lab, xdp=(1, 2) if port == "xdp" else (),
                      dpdk=(1, 2) if port == "dpdk" else ())
        extra = {"port_kind": port} if kind is Causeway else {}
        nodes = [kind(lab, sites[n], **extra) for n in (1, 2)]
        pair(nodes[0], nodes[1], psk=genpsk())
        for n in nodes:
            n.start()
        try:
            for family in (4, 6):
                sites[1].host.wait_ping(sites[2].host_addr(family), 15)
        except LabError as e:
            raise LabError("%s ports: %s\n%s" % (port, e, "\n".join(n.logs() for n in nodes)))
        measure(lab, sites, nodes, port, a.time, rows, problems)
        for n in nodes:
            if not n.alive():
                problems.append((health_name(port), "%s: a program ended\n%s" %
                                 (n.site.name, n.logs())))
            elif kind is Causeway:
                problems.extend((health_name(port), "%s ports: fault counter %s" % (port, f))
                                for f in n.faults())
        done.append(port)
        if a.keep:
            print("kept: namespaces %s-*; enter one with: ip netns exec %s-host1 bash" %
                  (lab.prefix, lab.prefix))


def table(rows):
    cells = [COLUMNS] + [tuple("-" if r[c] is None else str(r[c]) for c in COLUMNS)
                         for r in rows]
    width = [max(len(r[i]) for r in cells) for i in range(len(COLUMNS))]
    for r in cells:
        print("  ".join(x.ljust(w) for x, w in zip(r, width)).rstrip())


def static_cases(ports):
    out = []
    for port in ports:
        out += [case_name({"from": "host%d" % i, "to": "host%d" % (3 - i), "family": f,
                           "port": port}) for f in ("ipv4", "ipv6") for i in (1, 2)]
        out.append(health_name(port))
    return out


def print_cases(names, reached, problems, missing):
    """A line a path and one for what holds for the whole, as tests/run_tests.py reads them. What
    was not reached failed, or was skipped if a tool is missing."""
    why = "; ".join(t.replace("\n", " ") for c, t in problems if not c) or missing or \
        "not reached"
    for name in names:
        own = "; ".join(t.replace("\n", " ") for c, t in problems if c == name)
        if own or name not in reached:
            print("%s %s %s" % ("skip" if missing and not own else "FAIL", name, own or why))
        else:
            print("ok %s" % name)


def main():
    ap = argparse.ArgumentParser(prog="lab", description=__doc__.split("\n\n")[0])
    ap.add_argument("--once", action="store_true", help="one pass, then end (the default)")
    ap.add_argument("--keep", action="store_true", help="leave it running")
    ap.add_argument("--down", action="store_true", help="remove what --keep left, and end")
    ap.add_argument("--cases", action="store_true", help="print a line a case as tests do")
    ap.add_argument("--json", metavar="FILE", help="write the rows as JSON, - for stdout")
    ap.add_argument("--static", action="store_true", help="peers from files, no coordinator")
    ap.add_argument("--port", choices=("kernel", "xdp", "dpdk", "both"), default="both",
                    help="of --static")
    ap.add_argument("--time", type=float, default=1.5, help="seconds of each load")
    ap.add_argument("--node", choices=sorted(NODES), default="causeway",
                    help="what stands on the gateways (the foreign ones check the lab itself)")
    a = ap.parse_args()

    if a.down:
        print("lab: %d removed" % Lab.down())
        return 0
    # problems: (case or None, what is wrong); done: the ports that were gone through.
    rows, problems, done, missing = [], [], [], None
    kind = NODES[a.node]
    a.static = a.static or a.port != "both" or kind is not Causeway
    ports = ("kernel", "xdp") if a.port == "both" else (a.port,)
    try:
        if kind is Causeway:
            Causeway.require()
        netns.helper("traffic")
        if not a.static:
            lab_mesh.run(a, rows, problems, done)
            if lab_mesh.STOCK not in done:
                missing = "tailscaled (build it: tests/interop/build.sh tailscaled tailscale)"
        for port in ports if a.static else ():
            one_port(port, kind, a, rows, problems, done)
    except Skip as e:
        missing = str(e)
        problems.append((None, "missing: " + missing))
    except (LabError, OSError, ValueError, KeyError) as e:
        problems.append((None, "%s: %s" % (type(e).__name__, e)))
    table(rows)
    if a.static:
        names, want = static_cases(ports), 4 * len(ports)
        reached = {case_name(r) for r in rows} | {health_name(p) for p in done}
    else:
        names, want = lab_mesh.cases(), 8
        reached = {lab_mesh.case_name(r) for r in rows} | set(done)
    if a.cases:
        print_cases(names, reached, problems, missing)
    for _, p in problems:
        print("lab: " + p, file=sys.stderr)
    ok = not problems and len(rows) >= want
    print("lab: %s" % ("all is well" if ok else "not well"))
    if a.json:
        doc = json.dumps({"ok": ok, "rows": rows, "problems": [p for _, p in problems]}, indent=2)
        if a.json == "-":
            print(doc)
        else:
            with open(a.json, "w") as f:
                f.write(doc + "\n")
    return 0 if ok else 1


if __name__ == "__main__":
    netns.catch_signals()
    sys.exit(main())
