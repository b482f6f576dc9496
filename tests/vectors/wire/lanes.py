#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes lanes.json: lane secrets and keys (docs/protocol/lanes.md) of the recorded handshakes,
with Python's own BLAKE2s. lanes.py --check compares with what is there."""

import hashlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def hmac(key, data):
    pad = key.ljust(64, b"\0")
    inner = hashlib.blake2s(bytes(b ^ 0x36 for b in pad) + data).digest()
    return hashlib.blake2s(bytes(b ^ 0x5C for b in pad) + inner).digest()


def kdf(n, chain, data):
    secret, out = hmac(chain, data), []
    for i in range(n):
        out.append(hmac(secret, (out[-1] if out else b"") + bytes([i + 1])))
    return out


def main():
    with open(os.path.join(HERE, "wireguard.json")) as f:
        handshakes = json.load(f)["handshakes"]
    rows = []
    for h in handshakes:
        t1, t2, secret = kdf(3, bytes.fromhex(h["chain_key_final"]), b"")
        assert t1.hex() == h["key_initiator_to_responder"]
        assert t2.hex() == h["key_responder_to_initiator"]
        lanes = []
        for lane in (1, 2, 16):
            k1, k2 = kdf(2, secret, b"causeway lane" + bytes([lane]))
            lanes.append({"lane": lane, "key_initiator_to_responder": k1.hex(),
                          "key_responder_to_initiator": k2.hex()})
        rows.append({"name": h["name"], "chain_key_final": h["chain_key_final"],
                     "lane_secret": secret.hex(), "lanes": lanes})
    text = json.dumps({"sessions": rows}, indent=2) + "\n"
    path = os.path.join(HERE, "lanes.json")
    if "--check" in sys.argv:
        with open(path) as f:
            sys.exit(0 if f.read() == text else "lanes.json is not what lanes.py makes")
    with open(path, "w") as f:
        f.write(text)


if __name__ == "__main__":
    main()
