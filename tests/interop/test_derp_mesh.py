#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that two stock tailscaleds without a direct way talk through causeway-derp and say so,
that its memory holds neither their keys nor what they say, that they come back to it after it
was killed, and that causeway-coord tells it, and stock derper, who may use them."""

import base64
import ctypes
import ctypes.util
import glob
import json
import os
import re
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from coord_world import IP, World  # noqa: E402
from netns import wait_for  # noqa: E402
from nodes import foreign  # noqa: E402

MARK = b"causeway-marked-flow:"
RUN_MAX = 256 << 20


class Apart(World):
    """Two stock nodes on sites of their own; only TCP passes between the sites."""

    def __init__(self):
        super().__init__()
        try:
            sites = [self.site(name) for name in "ab"]
            self.ns.nft("table inet cut { chain f { type filter hook forward priority 0; "
                        "drop; }; }")
            self.a, self.b = [self.stock(ns.short, ns=ns, tun=True) for ns in sites]
            for n in (self.a, self.b):
                n.up("--auth-key=" + self.key())
            self.a.wait_peer("b", Online=True)
            self.to = self.node("b")["addresses"]
            self.first = self.a.ns.wait_ping(self.to[0], 15)
        except BaseException:
            self.lab.close()
            raise


def path_is_the_relay():
    """IPv4 and IPv6 inside; status and ping name the relay, and the relay counts them."""
    with Apart() as w:
        before = relayed(w)
        for address in w.to:
            w.a.ns.ping(address, 10, 1.0, check=True)
        check(relayed(w) >= before + 40, "%d packets relayed of 40" % (relayed(w) - before))
        peer = w.a.wait_peer("b", Relay="test", CurAddr="", Active=True)
        check(peer["RxBytes"] > 0 and peer["TxBytes"] > 0, peer)
        out = w.a.cli("ping", "--timeout=3s", "--c=3", "--until-direct=false", "b", timeout=20,
                      check=False).stdout
        check(out.count("via DERP(test)") == 3, out)
        check(re.search(r"\bb\b.*\brelay \"test\"", w.a.cli("status").stdout),
              w.a.cli("status").stdout)
        return "first echo after %.2f s" % w.first


def relayed(w):
    return counted(w, "sent")


def counted(w, name):
    text = w.ns.sh("curl", "-sk", "https://127.0.0.1:3443/metrics").stdout
    got = re.search(r"^causeway_derp_%s_total (\d+)" % name, text, re.M)
    check(got, text)
    return int(got.group(1))


def memory(pid):
    """What a process may write, region by region."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if not mode.startswith("rw") or "[v" in line or end - start > RUN_MAX:
                continue
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except OSError:
                continue


def holds(pid, what):
    return any(what in part for part in memory(pid))


def relayed_packet(pid, source):
    """A transport message of WireGuard from a node, as the relay's memory has it, or None."""
    begin = re.compile(b"\x05(....)" + re.escape(source) + b"\x04\0\0\0", re.S)
    for part in memory(pid):
        for m in begin.finditer(part):
            n, = struct.unpack(">I", m.group(1))
            packet = part[m.end() - 4:m.end() - 4 + n - 32]
            if 32 + 100 < n < 32 + 1500 and len(packet) == n - 32:
                return packet
    return None


def session_key(pid, packet):
    """The key in a node's memory that opens the packet: Go keeps it in 32 aligned bytes."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
    opens = sodium.crypto_aead_chacha20poly1305_ietf_decrypt
    opens.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p,
                      ctypes.c_ulonglong, ctypes.c_void_p, ctypes.c_ulonglong, ctypes.c_char_p,
                      ctypes.c_char_p]
    nonce, sealed, out = b"\0" * 4 + packet[8:16], packet[16:], ctypes.create_string_buffer(2048)
    for part in memory(pid):
        for at in range(0, len(part) - 31, 32):
            key = part[at:at + 32]
            if key.count(0) < 4 and opens(out, None, None, sealed, len(sealed), None, 0, nonce,
                                          key) == 0:
                return key
    return None


def raw_keys(state):
    """Name -> 32 bytes of every private key in a tailscaled's state."""
    out = {}
    for path in glob.glob(state + "/state*"):
        with open(path, errors="replace") as f:
            text = f.read()
        for blob in re.findall(r'"([A-Za-z0-9+/=]{40,})"', text):
            try:
                text += "\n" + base64.b64decode(blob).decode("utf-8", "replace")
            except ValueError:
                continue
        for hexed in re.findall(r"privkey:([0-9a-f]{64})", text):
            if hexed.strip("0"):
                out[hexed] = bytes.fromhex(hexed)
    return out


TALK = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7000), 10)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    s.sendall(sys.argv[3].encode() * 50)
    time.sleep(0.002)
"""
LISTEN = """
import socket
l = socket.create_server(("", 7000)); print("ready", flush=True)
s, _ = l.accept(); n = 0
while True:
    d = s.recv(65536)
    if not d: break
    n += len(d)
print("got", n, flush=True)
"""


def memory_says_nothing():
    with Apart() as w:
        listen = w.b.ns.start("listen", [sys.executable, "-c", LISTEN],
                              stdout=w.lab.path("listen.out"))
        wait_for(lambda: "ready" in listen.output(), 10, "the listener")
        talk = w.a.ns.start("talk", [sys.executable, "-c", TALK, w.to[0], "60", MARK.decode()])
        source = bytes.fromhex(w.a.status()["Self"]["PublicKey"].split(":")[1])
        relay = w.relay.pid
        packet = wait_for(lambda: relayed_packet(relay, source), 20, "a packet in its memory")
        check(holds(w.a.proc.pid, MARK), "the search finds nothing even in the node's memory")
        key = session_key(w.b.proc.pid, packet)
        check(key, "no key of the node opens what the relay passed")
        check(holds(w.b.proc.pid, key), "the key")
        for _ in range(3):
            check(not holds(relay, MARK), "the relay's memory holds the marked flow")
            check(not holds(relay, key), "the relay's memory holds the session key")
            time.sleep(0.5)
        keys = dict(raw_keys(w.a.state), **raw_keys(w.b.state))
        check(len(keys) >= 4, "%d private keys found in the nodes' states" % len(keys))
        for hexed, raw in keys.items():
            check(not holds(relay, raw) and not holds(relay, hexed.encode()),
                  "the relay's memory holds a private key")
        check(talk.running(), talk.log())
        talk.kill()
        wait_for(lambda: "got" in listen.output(), 5, "the end")
        return "%d private keys and a session key sought" % len(keys)


def killed_and_returned():
    """Stock nodes' time is theirs; it is reported."""
    with Apart() as w:
        w.relay.kill()
        wait_for(lambda: not w.a.ns.ping(w.to[0], 1, 0.3)[0], 5, "silence")
        time.sleep(3)
        w.start_relay()
        t0 = time.monotonic()
        w.a.ns.wait_ping(w.to[0], 30)
        took = time.monotonic() - t0
        w.a.ns.ping(w.to[1], 5, 1.0, check=True)
        return "stock resumed %.1f s after the relay's return" % took


def only_nodes_of_the_mesh():
    """With --verify-client-url the coordinator's nodes alone are let in; without an answer
    everybody, unless the file says otherwise."""
    ours = "http://%s:8080/verify" % IP
    with World() as w:
        w.relay.stop()
        w.start_relay("--verify-client-url", ours)
        a, b = w.stock("a"), w.stock("b")
        for n in (a, b):
            n.up("--auth-key=" + w.key())
        a.wait_peer("b", Online=True)
        wait_for(lambda: all(n["home_derp"] for n in w.coord("nodes")), 10, "home relays")
        check(a.pong("b"), "the nodes do not meet")
        ask = w.ns.sh("curl", "-s", "-d", json.dumps({"NodePublic": a.status()["Self"]["PublicKey"]}),
                      ours).stdout
        check(ask.strip() == '{"Allow":true}', ask)
        for body in ("", "{}", '{"NodePublic":1}', '{"NodePublic":"nodekey:%064x"}' % 5, "\xff" * 99):
            said = w.ns.sh("curl", "-s", "-d", body, ours).stdout
            check(said.strip() == '{"Allow":false}', "%r: %s" % (body, said))

        def stranger(port=3443, *options):
            return w.ns.sh(foreign("derpclient"), "-addr", "%s:%d" % (IP, port), *options, "ping",
                           check=False, timeout=20).returncode == 0
        check(not stranger(), "a stranger came in")
        check(counted(w, "not_admitted") == 1, "not counted")
        # Stock derper asks our coordinator the same.
        w.ns.start("derper", [
            foreign("derper"), "-a", IP + ":3444", "-http-port", "-1", "-stun=false", "-c",
            w.lab.path("derper.key"), "-certmode", "manual", "-certdir", w.lab.path("cert"),
            "-hostname", IP, "-verify-client-url", ours, "-verify-client-url-fail-open=false"])
        wait_for(lambda: ":3444" in w.ns.sh("ss", "-ltn").stdout, 10, "derper")
        check(not stranger(3444), "derper let a stranger in")
        check(any(stranger(3444, "-key", "privkey:" + k) for k in raw_keys(a.state)),
              "derper did not let a node in")
        w.coord("nodes", "expire", "b")
        said = w.ns.sh("curl", "-s", "-d", json.dumps(
            {"NodePublic": b.status()["Self"]["PublicKey"]}), ours).stdout
        check('{"Allow":false}' in said, said)
        # Nobody answers.
        w.kill_coord()
        check(stranger(), "refused while the coordinator is away")
        check(w.relay.stop() == 0, "exit code")
        closed = w.lab.path("closed.hujson")
        with open(closed, "w") as f:
            f.write('{"verify_client_url_fail_open": false}')
        w.start_relay("--verify-client-url", ours, "--config", closed)
        check(not stranger(), "a stranger came in while the coordinator is away")


if __name__ == "__main__":
    sys.exit(main([[(f.__name__.replace("_", "-"), f) for f in (
        path_is_the_relay, memory_says_nothing, killed_and_returned,
        only_nodes_of_the_mesh)]], __doc__))
