#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""causeway-dp starts as its command line says, with and without hugepages, and says what is
wrong with a command line that it does not take."""

import json
import os
import re
import subprocess
import sys

import cases
from cases import check
from netns import Lab
from nodes import Causeway

HUGEPAGES = "/proc/sys/vm/nr_hugepages"
PORT = "kernel:tun=cw0,listen=41641"


def start(lab, *args, want="dp.ready"):
    """The log of a causeway-dp in a namespace of its own, once `want` stands in it."""
    ns = lab.ns("start")
    sock = lab.path("start.sock")
    p = ns.start("causeway-dp", [Causeway.program("causeway-dp"), "--socket", sock] + list(args))
    end = 100
    while want not in p.log() and p.running() and end:
        subprocess.run(["sleep", "0.1"], check=True)
        end -= 1
    check(want in p.log(), "no %s: %s" % (want, p.tail(3)))
    text = subprocess.run([Causeway.program("causeway"), "--dp-socket", sock, "dp", "show",
                           "workers", "--json"], capture_output=True, text=True).stdout
    log = p.log()
    p.stop()
    check(not os.path.exists(sock), "the socket is left behind")
    check("cw0" not in ns.sh("ip", "-br", "link").stdout, "the TUN is left behind")
    return log, text


def refused(*args):
    """stderr of a command line that must end at once with an error."""
    with Lab(name="refused") as lab:
        ns = lab.ns("refused")
        r = ns.sh(Causeway.program("causeway-dp"), "--socket", lab.path("s"), *args,
                  check=False, timeout=20)
        check(r.returncode in (1, 2), "exit code %d" % r.returncode)
        return (r.stdout or "") + (r.stderr or "")


def no_huge():
    with Lab(name="nohuge") as lab:
        log, _ = start(lab, "--port", PORT, "--no-huge")
        check("hugepages=no" in log, log)


def hugepages():
    """Takes free hugepages without being asked; the machine gets its setting back."""
    with open(HUGEPAGES) as f:
        before = f.read().strip()
    try:
        with open(HUGEPAGES, "w") as f:
            f.write("128")
        with Lab(name="huge") as lab:
            log, _ = start(lab, "--port", PORT)
            check("hugepages=yes" in log, log)
    finally:
        with open(HUGEPAGES, "w") as f:
            f.write(before)


def fallback():
    """No hugepages to be had: it says so and starts all the same."""
    with open(HUGEPAGES) as f:
        if f.read().strip() != "0":
            return "this machine keeps hugepages"
    with Lab(name="fallback") as lab:
        log, _ = start(lab, "--port", PORT)
        check("fallback=no-huge" in log, log)
    return None


def engines():
    for name in ("ipsecmb", "sodium"):
        with Lab(name="engine") as lab:
            _, workers = start(lab, "--port", PORT, "--no-huge", "--engine", name)
            check('"engine":"%s"' % name in workers.replace(" ", ""), workers)
            check('"sizes":[]' in workers.replace(" ", ""), workers)
    # The default says of each size which engine takes it, and by which measurement.
    with Lab(name="sizes") as lab:
        _, text = start(lab, "--port", PORT, "--no-huge")
        worker = json.loads(text)["workers"][0]
        if worker["engine"] == "mixed":
            check(len(worker["sizes"]) >= 5, text)
            for size in worker["sizes"]:
                for kind in ("many", "alone"):
                    ticks = size[kind + "_ticks"]
                    check(ticks[size[kind]] == min(ticks.values()) > 0, text)
            sizes_by_name()


def sizes_by_name():
    """Two sizes are given away by name, the others stay as they were measured."""
    with Lab(name="sizes") as lab:
        _, text = start(lab, "--port", PORT, "--no-huge", "--engine", "mixed:64=ipsecmb,9000=mb")
        sizes = {s["up_to"]: s for s in json.loads(text)["workers"][0]["sizes"]}
        for up_to, want in ((64, "ipsecmb"), (9000, "mb-")):
            for kind in ("many", "alone"):
                check(sizes[up_to][kind].startswith(want), text)
        for kind in ("many", "alone"):
            ticks = sizes[512][kind + "_ticks"]
            check(ticks[sizes[512][kind]] == min(ticks.values()), text)


def workers_pinned():
    with Lab(name="pinned") as lab:
        _, workers = start(lab, "--port", PORT, "--no-huge", "--workers", "2", "--cpus", "0,0,1")
        check(workers.replace(" ", "").count('"pinned":true') == 2, workers)


def refusals():
    for args, want in (
        ((), "no --port"),
        (("--port", "kernel:tun=cw0"), "listen"),
        (("--port", "kernel:tun=cw0,listen=70000"), "70000"),
        (("--port", "kernel:tun=a/b,listen=41641"), "a/b"),
        (("--port", "kernel:tun=cw0,listen=41641,colour=red"), "colour"),
        (("--port", "fibre:tun=cw0,listen=41641"), "fibre"),
        (("--port", "xdp:wan=nosuch0,lan=nosuch1,listen=41641,tun=cw0", "--no-huge"), "nosuch0"),
        (("--port", PORT, "--engine", "enigma"), "enigma"),
        (("--port", PORT, "--engine", "ipsec-mb"), "nearest is ipsecmb"),
        (("--port", PORT, "--engine", "mixed:65=mb"), "65=mb"),
        (("--port", PORT, "--engine", "mixed:64=sodium"), "engines are mb and ipsecmb"),
        (("--port", PORT, "--engine", "mixed:"), "sizes 64 128 256"),
        (("--port", PORT, "--workers", "0"), "--workers 0"),
        (("--port", PORT, "--workers", "2", "--cpus", "0,1"), "--cpus"),
        (("--port", PORT, "--frobnicate"), "frobnicate"),
    ):
        text = refused(*args)
        check(want in text, "%r: %r does not name %r" % (args, text[-200:], want))


def help_and_version():
    for program in ("causeway-dp", "causewayd", "causeway"):
        for option, want in (("--help", "usage|Usage"), ("--version", r"\d+\.\d+\.\d+")):
            r = subprocess.run([Causeway.program(program), option], capture_output=True, text=True)
            check(r.returncode == 0 and re.search(want, r.stdout),
                  "%s %s: %d %r" % (program, option, r.returncode, r.stdout[:80]))


if __name__ == "__main__":
    sys.exit(cases.main([[("no-huge", no_huge), ("engines", engines), ("refusals", refusals),
                          ("workers-pinned", workers_pinned), ("help", help_and_version)],
                         [("fallback", fallback)], [("hugepages", hugepages)]], __doc__))
