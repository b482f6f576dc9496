#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that dpdk ports carry traffic over each kind of virtual device, by themselves and with
several workers, with hugepages and without, that they rest when idle, and that what is wrong
with a device is said.

    host1 -- gw1 ==(memif, vhost-user)== gw2 -- host2        LANs: net_af_packet, net_tap, net_pcap

Cases of one topology run one after another, topologies side by side. The router's own cases
(test_router.py) run on dpdk ports as well."""

import os
import re
import struct
import subprocess
import sys
import threading
import time

from cases import check, main
from flows import Udp, account, affordable, lost, tcp, tcp_gbit
from netns import Lab, LabError, Skip, run, wait_for
from nodes import Causeway, pair
from topology import DPDK_WIRE, Sites

PPS = 4000
# A nap's end costs an older CPU twice as much: 2.8 to 5.5 % were seen on a Zen 3.
IDLE_LIMIT_PCT = affordable(5.0, 8.0)
HUGEPAGES_MIN = 512  # of 2 MB, for two gateways
JUMBO = 9000
REPLAYED = 100


class DpdkNode(Causeway):
    """A gateway whose devices the case names."""

    def __init__(self, lab, site, wan, lan, port_extra="", huge=False, **kw):
        super().__init__(lab, site, port_kind="dpdk", **kw)
        self.wan, self.lans, self.port_extra, self.huge = wan, lan, port_extra, huge

    def port_option(self):
        return "dpdk:wan=%s;tap=eth0,lan=%s;tap=eth1,listen=%d,tun=%s%s" % (
            self.wan, self.lans, self.port, self.tun, self.port_extra)

    def start_dp(self):
        self.starts += 1
        self.dp = self.site.gw.start(
            "causeway-dp.%d" % self.starts,
            [self.program("causeway-dp"), "--socket", self.dp_socket, "--port",
             self.port_option()] + ([] if self.huge else ["--no-huge"]) + self.dp_args)
        self.procs = [p for p in (self.dp, self.daemon) if p]
        return self.dp


def af_packet(n=1):
    return "net_af_packet%d;iface=%seth%d" % (n, DPDK_WIRE, n)


def need_hugepages():
    """Free ones, made if there are too few."""
    def free():
        with open("/proc/meminfo") as f:
            return int(re.search(r"HugePages_Free:\s+(\d+)", f.read()).group(1))
    if free() >= HUGEPAGES_MIN:
        return
    with open("/proc/sys/vm/nr_hugepages") as f:
        now = int(f.read())
    run(["sysctl", "-qw", "vm.nr_hugepages=%d" % (now + HUGEPAGES_MIN - free())], check=False)
    if free() < HUGEPAGES_MIN:
        raise Skip("%d free hugepages (vm.nr_hugepages)" % HUGEPAGES_MIN)


class Stage:
    """Two gateways, made when the first case needs them."""

    def __init__(self, name, build, is_up=None):
        self.name, self.build, self.is_up = name, build, is_up
        self.lock = threading.Lock()
        self.left = 0
        self.lab = self.error = None
        self.excused = "none"

    def case(self, fn):
        self.left += 1

        def go():
            with self.lock:
                try:
                    check(not self.error, "not set up: %s" % self.error)
                    if not self.lab:
                        self.enter()
                    note = fn(self)
                    for n in self.nodes:
                        check(n.alive(), "a program ended\n" + n.logs())
                        bad = [f for f in n.faults() if self.excused not in f]
                        check(not bad, "fault counters: %s" % bad)
                    return note
                finally:
                    self.left -= 1
                    if not self.left and self.lab:
                        self.lab.close()
        return "%s-%s" % (self.name, fn.__name__.replace("_", "-")), go

    def enter(self):
        Causeway.require()
        self.lab = Lab(name="dpdk " + self.name)
        try:
            self.s = Sites(self.lab, dpdk=(1, 2))
            self.nodes = self.build(self)
            pair(*self.nodes)
            for n in self.nodes:
                n.start()
            self.up() if not self.is_up else self.is_up(self)
        except BaseException as e:
            self.error = e
            if isinstance(e, LabError) and hasattr(self, "nodes"):
                raise LabError("%s\n%s" % (e, "\n".join(n.logs() for n in self.nodes)))
            raise

    def up(self, seconds=20):
        for family in (4, 6):
            self.s[1].host.wait_ping(self.s[2].host_addr(family), seconds)

    def ends(self, family=4):
        return [(self.s[n].host, self.s[n].host_addr(family)) for n in (1, 2)]


# -- topologies


def memif(st, **kw):
    sock = st.lab.path("wan.sock")
    roles = ("server", "client")
    return [DpdkNode(st.lab, st.s[i + 1], "net_memif0;role=%s;socket-abstract=no;socket=%s" %
                     (roles[i], sock), af_packet(), **kw) for i in (0, 1)]


def memif_workers(st):
    """A queue a device: one worker has the outside, the other one the inside."""
    return memif(st, port_extra=",queues=1", dp_args=["--workers", "2"])


def vhost(st):
    """A virtual switch's end on one side, a virtual machine's on the other."""
    need_hugepages()
    sock = st.lab.path("wan.sock")
    return [DpdkNode(st.lab, st.s[1], "net_vhost0;iface=%s;queues=2" % sock, af_packet(),
                     huge=True, dp_args=["--workers", "2"]),
            DpdkNode(st.lab, st.s[2], "net_virtio_user0;path=%s;queues=2;queue_size=1024" % sock,
                     af_packet(), huge=True, dp_args=["--workers", "2"])]


def jumbo(st):
    """LANs with an MTU that only large buffers carry."""
    sock = st.lab.path("wan.sock")
    for n in (1, 2):
        for ns, dev in ((st.s[n].host, "eth0"), (st.s[n].gw, DPDK_WIRE + "eth1")):
            ns.ip("link set %s mtu %d" % (dev, JUMBO))
    # What fits a packet buffer, and a multiple of it that is one of pages. memif's buffers hold
    # a frame whole: DPDK 22.11 loses count of those in pieces.
    frames = ";blocksz=1175552;framesz=9184;framecnt=256"
    return [DpdkNode(st.lab, st.s[n], "net_memif0;role=%s;socket-abstract=no;socket=%s" %
                     (role, sock) + ";bsize=10240", af_packet() + frames, ",mtu=%d" % JUMBO,
                     mtu=JUMBO,
                     dp_args=["--memory", "256"]) for n, role in ((1, "server"), (2, "client"))]


def tap(st):
    """Hosts on a net_tap each: its interface is the host's, once it is there."""
    sock = st.lab.path("wan.sock")
    st.taps = {n: st.lab.unique_if("j") for n in (1, 2)}
    return [TapNode(st, st.s[n], "net_memif0;role=%s;socket-abstract=no;socket=%s" %
                    (role, sock), "net_tap1;iface=" + st.taps[n])
            for n, role in ((1, "server"), (2, "client"))]


class TapNode(DpdkNode):
    def __init__(self, st, site, *args, **kw):
        super().__init__(st.lab, site, *args, **kw)
        self.host_if = st.taps[site.n]

    def start_dp(self):
        dp = super().start_dp()
        s = self.site
        wait_for(lambda: os.path.exists(self.dp_socket) or not dp.running(), 15, "causeway-dp")
        s.host.ip("link del eth0")
        s.gw.ip("link set %s netns %s" % (self.host_if, s.host.name))
        s.host.ip("link set %s name eth0" % self.host_if, "link set eth0 up",
                  "addr add %s/24 dev eth0" % s.host4, "addr add %s/64 dev eth0 nodad" % s.host6,
                  "route add default via %s" % s.gw4, "route add default via %s" % s.gw6)
        s.host.offload("eth0", "tx", "off")
        return dp


def replay(st):
    """What gateway 1's LAN sends is in a file."""
    st.file, st.sent = st.lab.path("lan.pcap"), st.lab.path("lan-tx.pcap")
    write_replay(st.file, st.s[1], st.s[2])
    nodes = memif(st)
    nodes[0].lans = "net_pcap1;rx_pcap=%s;tx_pcap=%s;infinite_rx=1" % (
        st.file, st.sent)
    return nodes


def write_replay(path, one, two):
    """Numbered UDP from host 1 to host 2, addressed to the MAC that the first net_pcap has."""
    def ip_sum(h):
        n = sum(struct.unpack("!10H", h))
        n = (n & 0xffff) + (n >> 16)
        return ~(n + (n >> 16)) & 0xffff
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i in range(REPLAYED):
            data = struct.pack("!I", i) + bytes(60)
            addr = [bytes(int(x) for x in a.split(".")) for a in (one.host4, two.host4)]
            head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), i, 0, 64, 17, 0) + \
                addr[0] + addr[1]
            head = head[:10] + struct.pack("!H", ip_sum(head)) + head[12:]
            frame = bytes.fromhex("027063617000") + bytes.fromhex("020000000099") + \
                b"\x08\x00" + head + struct.pack("!HHHH", 9000, 9001, 8 + len(data), 0) + data
            f.write(struct.pack("<IIII", 0, i, len(frame), len(frame)) + frame)


# -- cases


def traffic(st):
    """Pings, numbered UDP both ways without loss, and TCP, of both families."""
    note = []
    for family in (4, 6):
        ends = st.ends(family)
        for a, b in (ends, ends[::-1]):
            a[0].ping(b[1], 10, interval=0.05, check=True)
        got = Udp(st.lab, *ends, rate=PPS, seconds=2).wait()
        check(lost(got) == (0, 0), account(got))
        gbit = tcp_gbit(tcp(ends[0][0], ends[1][0], ends[1][1], 1))
        check(gbit > 0.01, "IPv%d: %.3f Gbit/s" % (family, gbit))
        note.append("%.2f" % gbit)
    return "TCP %s Gbit/s" % "/".join(note)


def exception(st):
    """What is the kernel's goes through the TAP: gateways ping each other, and no data does."""
    for a, b in ((1, 2), (2, 1)):
        st.s[a].gw.ping(st.s[b].wan4, 5, check=True)
        st.s[a].gw.ping(st.s[b].wan6, 5, check=True)
    before = [n.counters() for n in st.nodes]
    got = Udp(st.lab, *st.ends(), rate=PPS, seconds=1).wait()
    check(lost(got) == (0, 0), account(got))
    for n, b in zip(st.nodes, before):
        a = n.counters()
        check(a["dpdk_to_kernel"] - b["dpdk_to_kernel"] < 100, "data went through the kernel")
        check(a["rx_outside"] - b["rx_outside"] >= PPS, "data came another way")


def restart(st):
    """A killed dataplane comes back, on the same devices and TAPs, and traffic with it."""
    n = st.nodes[1]
    # Until the other side knows, it goes on with a session that died with the process.
    st.excused = "DROP_OPEN_UNKNOWN_INDEX"
    n.kill_dp()
    n.start_dp()
    t0 = time.monotonic()
    st.up(20)
    return "up after %.1f s" % (time.monotonic() - t0)


def rest(st):
    """Idle workers sleep, and a packet still finds them within a millisecond or two."""
    time.sleep(1)
    # Waking up costs more while the cases beside this one use the caches: the calmest counts.
    for _ in range(3):
        used, at = [n.cpu_ns() for n in st.nodes], time.monotonic()
        time.sleep(4)
        span = time.monotonic() - at
        pct = max((n.cpu_ns() - u) / span / 1e7 for n, u in zip(st.nodes, used))
        if pct < IDLE_LIMIT_PCT:
            break
    check(pct < IDLE_LIMIT_PCT, "%.1f %% of a core when idle" % pct)
    rtt = st.s[1].host.ping(st.s[2].host4, 20, interval=0.1, check=True)[1]
    return "%.1f %% of a core, round trip %.0f us" % (pct, rtt)


def both_workers(st):
    """Each worker has something to do: queues of one, handovers to the other."""
    before = [n.show("workers")["workers"] for n in st.nodes]
    frames = [n.counters()["dpdk_handed_over"] for n in st.nodes]
    got = Udp(st.lab, *st.ends(), rate=PPS, seconds=2, hosts=1).wait()
    check(lost(got) == (0, 0), account(got))
    check(all(r["rx"]["reordered"] == 0 for r in got), "reordered: " + account(got))
    for n, old, had in zip(st.nodes, before, frames):
        new = n.show("workers")["workers"]
        busy = [b["busy_cycles"] - a["busy_cycles"] for a, b in zip(old, new)]
        check(len(busy) == 2 and min(busy) > 0, "busy cycles %s" % busy)
        check(n.counters()["dpdk_handed_over"] > had, "no frame was handed over")


def large_packets(st):
    """9,000 bytes inside, unfragmented, both ways and families."""
    for family in (4, 6):
        for a, b in ((1, 2), (2, 1)):
            p = st.s[a].host.sh("ping", "-n", "-c", 5, "-i", "0.2", "-M", "do", "-s",
                                JUMBO - (28 if family == 4 else 48), st.s[b].host_addr(family),
                                check=False)
            check(" 5 received" in p.stdout, p.stdout)
    gbit = tcp_gbit(tcp(st.s[1].host, st.s[2].host, st.s[2].host4, 1))
    n = st.nodes[0].show("ports")["ports"][0]
    check(n["mtu_max"] >= JUMBO, "mtu_max %d" % n["mtu_max"])
    return "TCP %.2f Gbit/s" % gbit


def fragments(st):
    """Fragments are the kernel's, and get through."""
    for family in (4, 6):
        st.s[1].host.ping(st.s[2].host_addr(family), 3, size=20000)
        st.s[1].host.ping(st.s[2].host_addr(family), 3, size=20000, check=True)


def replayed(st):
    """The packets of the file, again and again, arrive; what answers is recorded."""
    wait_for(lambda: st.nodes[1].counters()["tx_inside"] >= 10 * REPLAYED, 15,
             "%d packets at host 2" % (10 * REPLAYED))
    wait_for(lambda: os.path.getsize(st.sent) > 24, 10, "an answer in the file")


def offloads_shown(st):
    for n in st.nodes:
        for i in n.show("ports")["ports"][0]["interfaces"]:
            for key in ("device", "driver", "mac", "rx_queues", "tx_queues", "rx_ip_checksum",
                        "tx_udp_checksum", "rss", "tx_fast_free"):
                check(key in i, "%s is not shown" % key)


def idle_devices():
    """net_null and net_ring: nothing comes, and a worker that may sleep does."""
    Causeway.require()
    out = []
    for poll, limit in (("auto", IDLE_LIMIT_PCT), ("always", None)):
        with Lab(name="dpdk null") as lab:
            gw = lab.ns("gw")
            sock = lab.path("dp.sock")
            dp = gw.start("causeway-dp", [
                Causeway.program("causeway-dp"), "--socket", sock, "--no-huge", "--port",
                "dpdk:wan=net_null0;no-rx=1,lan=net_ring0,listen=41641,tun=cw0,poll=" + poll])
            wait_for(lambda: sock.split("/")[-1] in gw.sh("ls", lab.dir).stdout or
                     not dp.running(), 15, "causeway-dp")
            check(dp.running(), dp.tail())
            time.sleep(1)
            used, at = dp.cpu_ns(), time.monotonic()
            time.sleep(2)
            pct = (dp.cpu_ns() - used) / (time.monotonic() - at) / 1e7
            check(pct < limit if limit else pct > 20, "poll=%s: %.1f %%" % (poll, pct))
            out.append("%s %.1f %%" % (poll, pct))
    return ", ".join(out)


ERRORS = [
    ("wan=net_nosuch0", r"net_nosuch0: "),
    ("wan=nosuch", r"nosuch: "),
    ("wan=net_af_packet0;iface=nosuch0", r"net_af_packet0: .*No such device"),
    ("wan=net_vhost0", r"net_vhost0: needs iface="),
    ("wan=net_vhost0;iface=/nosuch/dir/sock", r"net_vhost0: .*(No such file|/nosuch/dir/sock)"),
    ("wan=net_pcap0;rx_pcap=/nosuch.pcap", r"net_pcap0: .*nosuch\.pcap"),
    ("wan=net_memif0;mac=zz", r"mac=zz: not a MAC address"),
    ("wan=net_null0;size", r"size.*not key=value"),
    ("wan=net_null0+net_null0", r"net_null0.*named twice"),
    ("wan=net_null0;tap=lo", r"tap=lo: "),
    ("wan=net_null0,mtu=99", r"mtu=99.*not an MTU"),
    ("wan=net_null0,poll=never", r"poll=never: neither auto nor always"),
    ("wan=net_null0,colour=red", r"colour=red: unknown"),
    ("wan=0000:fe:1f.7", r"0000:fe:1f\.7: .*vfio-pci"),
]


def error_case(spec, expected):
    def go():
        Causeway.require()
        with Lab(name="dpdk error") as lab:
            gw = lab.ns("gw")
            p = subprocess.run(
                ["ip", "netns", "exec", gw.name, Causeway.program("causeway-dp"), "--socket",
                 lab.path("dp.sock"), "--no-huge", "--port",
                 "dpdk:%s,listen=41641,tun=cw0" % spec],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
            check(p.returncode == 1, "exit %d: %s" % (p.returncode, p.stdout))
            said = [x for x in p.stdout.splitlines() if "event=port.open" in x]
            check(said and re.search(expected, said[-1]), "it said: %s" % p.stdout)
            return re.search(r'error="(.*)"$', said[-1]).group(1)
    return "error-" + re.sub(r"[^a-z0-9]+", "-", spec.lower())[:40].strip("-"), go


def cases():
    stages = [
        ("memif", memif, (traffic, exception, offloads_shown, rest, restart)),
        ("memif-workers", memif_workers, (traffic, both_workers, rest, restart)),
        ("vhost", vhost, (traffic, exception, offloads_shown, rest, restart)),
        ("jumbo", jumbo, (large_packets, rest)),
        ("tap", tap, (traffic, fragments)),
        ("pcap", replay, (replayed,)),
    ]
    queues = []
    for name, build, fns in stages:
        # Nobody answers from a file.
        stage = Stage(name, build, (lambda st: None) if name == "pcap" else None)
        queues.append([stage.case(f) for f in fns])
    out = []
    while any(queues):
        out += [q.pop(0) for q in queues if q]
    return out


if __name__ == "__main__":
    sys.exit(main([[error_case(*e) for e in ERRORS] + [("idle-devices", idle_devices)], cases()],
                  __doc__))
