#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A handshake flood: initiations with a valid mac1 and nothing else valid, to one address.

    flood.py ADDR PORT PUBLIC-KEY RATE SECONDS SOURCE[,SOURCE…]

Sends RATE messages a second, from the sources in turn, and counts by type what comes back.
Ends with a JSON object, at SIGTERM earlier. Bounded by SECONDS; meant for a test's own
namespaces."""

import base64
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

INITIATION = 1


def mac1_key(public):
    return hashlib.blake2s(b"mac1----" + public).digest()


def initiation(key, sender=None):
    """148 bytes: random where an attacker may be random, mac1 as the receiver wants it."""
    body = struct.pack("<I", INITIATION) + (sender or os.urandom(4)) + os.urandom(108)
    return body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16)


def main():
    addr, port, public, rate, seconds, sources = sys.argv[1:7]
    key = mac1_key(base64.b64decode(public))
    socks = []
    for s in sources.split(","):
        k = socket.socket(socket.AF_INET6 if ":" in s else socket.AF_INET, socket.SOCK_DGRAM)
        k.bind((s, 0))
        k.setblocking(False)
        socks.append(k)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    start = time.monotonic()
    sent, errors, got = 0, 0, {}
    while not ended and time.monotonic() - start < float(seconds):
        due = int((time.monotonic() - start) * float(rate))
        for _ in range(min(due - sent, 200)):
            try:
                socks[sent % len(socks)].sendto(initiation(key), (addr, int(port)))
            except OSError:
                errors += 1
            sent += 1
        for k in select.select(socks, [], [], 0.001)[0]:
            for _ in range(200):
                try:
                    reply = k.recv(2048)
                except OSError:
                    break
                name = str(reply[0]) if reply else "empty"
                got[name] = got.get(name, 0) + 1
    print(json.dumps({"sent": sent, "errors": errors, "received": got}))


if __name__ == "__main__":
    main()
