#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that bad input is dropped and counted under its own reason, and that a bad
configuration is refused whole, with its place, by --check and by a running node, which
keeps what it had."""

import base64
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "interop"))

from capture import Capture, udp_payload
from cases import Failed, check, main
from flood import initiation, mac1_key
from netns import Lab, LabError, run, wait_for
from nodes import Causeway, WireguardGo, genkey, pair
from topology import Sites

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.sendto(bytes.fromhex(line.strip()), (sys.argv[2], int(sys.argv[3])))
"""


class Gateway:
    """Causeway on site 1, wireguard-go on site 2, a session between them."""

    def __init__(self, port, count=2):
        Causeway.require()
        self.lab = Lab(name="badinput")
        try:
            self.s = Sites(self.lab, count=count, xdp=(1,) if port == "xdp" else ())
            self.us = Causeway(self.lab, self.s[1], port_kind=port)
            self.them = WireguardGo(self.lab, self.s[2])
            pair(self.us, self.them)
            self.them.start()
            self.us.start()
            self.s[1].host.wait_ping(self.s[2].host4, 15)
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.lab.close()

    def send(self, *datagrams, source="203.0.113.254"):
        self.s.inet.sh(sys.executable, "-c", SEND, source, self.s[1].wan4, self.us.port,
                       text_in="".join(d.hex() + "\n" for d in datagrams))

    def captured(self, first, act):
        """The datagrams to us with the given type that act() brings about."""
        cap = Capture(self.lab, self.s.inet, "port1", "udp", snap=2048)
        act()
        got = [udp_payload(f) for _, f in cap.stop()]
        return [p[4] for p in got if p and p[2] == self.s[1].wan4 and p[4][:1] == bytes([first])]

    def counted(self, pattern, act, n=1):
        """act() adds at least n to the one counter that the pattern names; no other counter
        of a fault moves."""
        before = self.us.counters()
        names = [k for k in before if re.search(pattern, k, re.I)]
        check(names, "no counter matches %s; there are %s" % (pattern, " ".join(sorted(before))))
        act()

        def rise():
            now = self.us.counters()
            return sum(now[k] - before[k] for k in names) >= n
        try:
            wait_for(rise, 5, pattern)
        except LabError:
            now = self.us.counters()
            moved = ["%s +%d" % (k, now[k] - before.get(k, 0)) for k in now
                     if now[k] != before.get(k, 0)]
            raise Failed("%s did not count; moved: %s" % (pattern, ", ".join(moved) or "none"))
        rows = self.us.counter_rows()
        other = [r["name"] for r in rows if r.get("fault") and r["name"] not in names and
                 r["value"] != before.get(r["name"], 0)]
        check(not other, "counted as %s too" % other)
        check(self.s[1].host.ping(self.s[2].host4, 3, 1)[0] == 3, "the session suffered")
        return ", ".join(names)


def wrong_index(port):
    with Gateway(port) as g:
        return g.counted("UNKNOWN_INDEX", lambda: g.send(
            *[struct.pack("<IIQ", 4, 0xdeadbe00 + i, 5) + os.urandom(32) for i in range(10)]), 10)


def replay(port):
    with Gateway(port) as g:
        old = g.captured(4, lambda: g.s[2].host.ping(g.s[1].host4, 5))
        check(len(old) >= 5, "captured only %d" % len(old))
        return g.counted("OPEN_REPLAY", lambda: g.send(*old), len(old))


def forged_tag(port):
    """Right index, counter ahead: must not open, nor move the replay window."""
    with Gateway(port) as g:
        old = g.captured(4, lambda: g.s[2].host.ping(g.s[1].host4, 3))
        forged = [m[:8] + struct.pack("<Q", struct.unpack("<Q", m[8:16])[0] + 1000000) + m[16:]
                  for m in old]
        return g.counted("BAD_TAG", lambda: g.send(*forged), len(forged))


def wrong_source(port):
    with Gateway(port) as g:
        g.s[2].host.ip("addr add 10.77.0.1/32 dev eth0")
        g.s[2].gw.ip("route add 10.77.0.1/32 via %s" % g.s[2].host4)

        def act():
            g.s[2].host.sh("ping", "-c", 4, "-i", "0.1", "-W", 1, "-I", "10.77.0.1",
                           g.s[1].host4, check=False)
        return g.counted("SRC_NOT_ALLOWED", act, 4)


def runt(port):
    with Gateway(port) as g:
        return g.counted("RUNT", lambda: g.send(
            struct.pack("<III", 4, 1, 2), struct.pack("<I", 4) + bytes(27)), 2)


def oversize(port):
    """Larger than any peer may send (it comes in fragments, whole it is 60,000 B)."""
    with Gateway(port) as g:
        return g.counted("OVERSIZE|RX_TRUNCATED", lambda: g.send(
            struct.pack("<IIQ", 4, 7, 9) + bytes(60000)))


def unknown_type(port):
    with Gateway(port) as g:
        return g.counted("UNKNOWN_TYPE", lambda: g.send(
            struct.pack("<I", 9) + bytes(60), struct.pack("<I", 0x01000004) + bytes(60)), 2)


def handshake_length(port):
    with Gateway(port) as g:
        return g.counted("BAD_LENGTH", lambda: g.send(struct.pack("<I", 1) + bytes(145),
                                                      struct.pack("<I", 2) + bytes(90)), 2)


def spoofed_mac1(port):
    with Gateway(port) as g:
        return g.counted("BAD_MAC1", lambda: g.send(
            *[struct.pack("<I", 1) + os.urandom(144) for _ in range(5)]), 5)


def spoofed_initiation(port):
    """Valid mac1, the rest random: it does not decrypt."""
    with Gateway(port) as g:
        key = mac1_key(base64.b64decode(g.us.public))
        return g.counted("BAD_INITIATION|LOW_ORDER", lambda: g.send(initiation(key),
                                                                    initiation(key)), 2)


def unknown_peer(port):
    """A proper initiation of a key that is not configured."""
    with Gateway(port, count=3) as g:
        stranger = WireguardGo(g.lab, g.s[3])
        stranger.add_peer(g.us)
        stranger.start()
        return g.counted("UNKNOWN_PEER", lambda: g.s[3].host.ping(g.s[1].host4, 1, 1))


def replayed_initiation(port):
    """An initiation of the real peer, sent again: its timestamp is not newer."""
    with Gateway(port) as g:
        def begin():
            # A fresh start of the far side makes it begin a session.
            g.them.stop()
            g.them.start()
            g.s[2].host.wait_ping(g.s[1].host4, 15)
        old = g.captured(1, begin)
        check(old, "captured no initiation")
        return g.counted("CONTROL_REPLAY|TIMESTAMP", lambda: g.send(old[-1]))


def unasked_response(port):
    with Gateway(port) as g:
        key = mac1_key(base64.b64decode(g.us.public))
        import hashlib
        body = struct.pack("<III", 2, 1, 0x12345678) + os.urandom(48)
        body += hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16)
        return g.counted("CONTROL_UNKNOWN_INDEX|BAD_RESPONSE", lambda: g.send(body))


BAD_CONFIGS = [
    ("unknown key", lambda t: t.replace('"mtu"', '"mtuu"'), r'mtu'),
    ("bad key", lambda t: re.sub(r'"public_key": "[^"]{8}', '"public_key": "!', t), r'key'),
    ("bad prefix", lambda t: t.replace('"10.2.0.0/24"', '"10.2.0.0/99"'), r''),
    ("bad endpoint", lambda t: re.sub(r'"endpoint": "[^"]*"', '"endpoint": "nowhere"', t), r''),
    ("wrong type", lambda t: re.sub(r'"mtu": \d+', '"mtu": "big"', t), r'number'),
    ("cut off", lambda t: t[:len(t) // 2], r''),
    ("something behind", lambda t: t + "}", r''),
]


def place(text):
    """file:line:column in a message."""
    return re.search(r"node\.hujson:(\d+):(\d+)", text)


def check_refuses():
    """--check names the place of each mistake and takes the good file."""
    Causeway.require()
    with Lab(name="config") as lab:
        s = Sites(lab)
        us = Causeway(lab, s[1])
        us.add_peer(Causeway(lab, s[2]))
        good = us.config_text()

        def verdict(text):
            us.write_config(text)
            return subprocess.run([us.program("causewayd"), "--check", "--config", us.config],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=10)
        p = verdict(good)
        check(p.returncode == 0, "refuses the good file: %s" % p.stdout)
        for name, spoil, word in BAD_CONFIGS:
            bad = spoil(good)
            check(bad != good, "the test spoils nothing for '%s'" % name)
            p = verdict(bad)
            check(p.returncode != 0, "takes '%s'" % name)
            check(place(p.stdout), "'%s' without file:line:column: %s" % (name, p.stdout))
            check(re.search(word, p.stdout), "'%s' is not named: %s" % (name, p.stdout))


def running_keeps(port):
    """A reload of a bad file changes nothing; one of a good file does."""
    with Gateway(port) as g:
        us, good = g.us, g.us.config_text()
        before = sorted(us.status()["Peer"])
        for name, spoil, _ in BAD_CONFIGS:
            us.write_config(spoil(good))
            us.daemon.signal(signal.SIGHUP)
            time.sleep(0.3)
            check(us.daemon.running(), "'%s' ended the daemon\n%s" % (name, us.logs()))
            check(sorted(us.status()["Peer"]) == before, "'%s' changed the peers" % name)
            check(place(us.daemon.log()), "'%s' is not in the log with its place" % name)
            check(g.s[1].host.ping(g.s[2].host4, 2, 1)[0] == 2, "'%s' stopped traffic" % name)
        p = us.cli("reload", check=False)
        check(p.returncode != 0 and place(p.stdout + p.stderr),
              "reload of a bad file: exit %d: %s" % (p.returncode, p.stdout + p.stderr))
        doc = json.loads(good)
        _, other = genkey()
        doc["peers"].append({"name": "new", "public_key": other, "allowed_ips": ["10.8.0.0/24"]})
        us.write_config(json.dumps(doc))
        us.daemon.signal(signal.SIGHUP)
        wait_for(lambda: len(us.status()["Peer"]) == len(before) + 1, 5, "the new peer")
        us.write_config(good)
        us.cli("reload")
        check(sorted(us.status()["Peer"]) == before, "`causeway reload` changed nothing")
        check(g.s[1].host.ping(g.s[2].host4, 3, 1)[0] == 3, "a good reload hurt the session")


PACKETS = [wrong_index, replay, forged_tag, wrong_source, runt, oversize, unknown_type,
           handshake_length, spoofed_mac1, spoofed_initiation, unknown_peer, replayed_initiation,
           unasked_response, running_keeps]


def cases(port):
    return [("%s-%s" % (f.__name__, port), lambda f=f: f(port)) for f in PACKETS]


if __name__ == "__main__":
    k, x = cases("kernel"), cases("xdp")
    sys.exit(main([[("check_refuses", check_refuses)]] +
                  [c[i:i + 4] for c in (k, x) for i in range(0, len(c), 4)], __doc__))
