# SPDX-License-Identifier: Apache-2.0
"""Packets seen on an interface: tcpdump into a file, and a reader of that file."""

import struct
import time

from netns import tool, wait_for

ETH_LEN = 14


class Capture:
    """tcpdump on an interface from now until stop()."""

    def __init__(self, lab, ns, dev, expr="", snap=256):
        stamp = time.monotonic_ns()
        self.path = lab.path("cap-%s-%d.pcap" % (ns.short, stamp))
        # -Z root: the folder belongs to root. -U: what was seen is in the file at once, and
        # --immediate-mode: seen at once, else the last second goes with the end of tcpdump.
        argv = [tool("tcpdump"), "-i", dev, "-n", "-U", "--immediate-mode", "-s", snap, "-B",
                16384, "-Z", "root", "-w", self.path]
        self.proc = ns.start("tcpdump.%d" % stamp, argv + ([expr] if expr else []))
        wait_for(lambda: "listening on" in self.proc.log(), 10, "tcpdump on %s" % dev)

    def stop(self):
        """All frames, as a list of (time, bytes)."""
        time.sleep(0.2)
        self.proc.stop()
        return list(frames(self.path))


def frames(path):
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 24:
        return
    order = "<" if struct.unpack("<I", data[:4])[0] in (0xa1b2c3d4, 0xa1b23c4d) else ">"
    off = 24
    while off + 16 <= len(data):
        sec, frac, n, _ = struct.unpack(order + "IIII", data[off:off + 16])
        off += 16
        yield sec + frac / 1e6, data[off:off + n]
        off += n


def udp_payload(frame):
    """(source, its port, destination, its port, payload) of an Ethernet frame, or None."""
    import ipaddress
    if len(frame) < ETH_LEN + 28:
        return None
    kind = struct.unpack("!H", frame[12:14])[0]
    p = frame[ETH_LEN:]
    if kind == 0x0800 and p[9] == 17:
        hl = (p[0] & 15) * 4
        src, dst = ipaddress.ip_address(p[12:16]), ipaddress.ip_address(p[16:20])
    elif kind == 0x86dd and len(p) >= 48 and p[6] == 17:
        hl = 40
        src, dst = ipaddress.ip_address(p[8:24]), ipaddress.ip_address(p[24:40])
    else:
        return None
    sp, dp = struct.unpack("!HH", p[hl:hl + 4])
    return str(src), sp, str(dst), dp, p[hl + 8:]
