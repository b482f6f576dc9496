#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that who includes whom is as docs/architecture.md draws it, and that each header
compiles by itself.

Usage: check.py ROOT BUILD_ROOT [COMPILER...]     (without a compiler only the includes)
       check.py --self-test
"""
import concurrent.futures
import fnmatch
import os
import re
import subprocess
import sys

# (who, may not include, except, reason). Patterns are fnmatch's over paths from the
# root: * crosses folders.
FORBIDDEN = [
    ("lib/base/*", "*", ["lib/base/*"],
     "lib/base knows no protocol and no process: everything stands on it"),
    ("lib/wire/*", "*", ["lib/wire/*", "lib/base/*"],
     "codecs take bytes and give structs; they work in any process"),
    ("lib/wire/*", "lib/base/sock.h", [], "a codec does no I/O"),
    ("lib/wire/*", "lib/base/fileio.h", [], "a codec does no I/O"),
    ("lib/wire/*", "lib/base/log.h", [], "a codec returns an error; its caller logs, with the peer"),
    ("lib/dpapi/*", "*", ["lib/dpapi/*", "lib/wire/*", "lib/base/*"],
     "both planes speak dpapi: it may need neither"),
    ("dataplane/*", "controlplane/*", [],
     "the planes are two processes; what they share is lib/dpapi"),
    ("controlplane/*", "dataplane/*", [],
     "the planes are two processes; what they share is lib/dpapi"),
    ("dataplane/*", "lib/base/hujson.h", [],
     "causeway-dp reads no configuration files and no JSON: less to attack"),
    ("controlplane/*", "ebpf/*", [], "BPF programs belong to causeway-dp's ports"),
    ("dataplane/*", "ebpf/*", ["ebpf/steer_shared.h"],
     "the one header that BPF and user space share is steer_shared.h"),
    ("ebpf/*", "*", ["ebpf/*"], "BPF programs are compiled for another machine"),
    ("dataplane/stage/*", "dataplane/table/*_build.h", [],
     "stages read tables; only dataplane/api and the mirror write them"),
    ("dataplane/pipeline.c", "dataplane/table/*_build.h", [],
     "the packet's way reads tables; it does not write them"),
    ("dataplane/stage/*", "lib/dpapi/dpapi_msg.h", [], "a stage does no I/O"),
    ("dataplane/stage/*", "lib/base/log.h", [], "a stage counts, it does not log"),
    ("dataplane/stage/*", "dataplane/api/*", [], "a stage raises events through the worker's ring"),
    ("dataplane/stage/*", "dataplane/netlink/*", [], "a stage reads tables, not the kernel"),
    ("dataplane/table/*", "dataplane/stage/*", [], "tables know no packets' way"),
    ("dataplane/table/*", "dataplane/port/*", [], "tables know no ports"),
    ("dataplane/table/*", "dataplane/api/*", [], "api writes the tables, not the reverse"),
    ("dataplane/crypto/*", "dataplane/*", ["dataplane/crypto/*"],
     "an AEAD engine takes jobs, not packets: tests and benchmarks run it alone"),
    ("dataplane/port/*", "dataplane/stage/*", [], "a port receives and sends; it decides nothing"),
    ("dataplane/port/*", "dataplane/table/*_build.h", [], "only api and the mirror write tables"),
    ("controlplane/noise/*", "*", ["controlplane/noise/*", "lib/*"],
     "the handshake is an engine without I/O: a simulated hour must take a second"),
    ("controlplane/noise/*", "lib/base/sock.h", [], "an engine does no I/O"),
    ("controlplane/noise/*", "lib/base/fileio.h", [], "an engine does no I/O"),
    ("controlplane/tailcfg/*", "*", ["controlplane/tailcfg/*", "lib/base/*"],
     "the protocol's values serve coordinator and node alike"),
    ("controlplane/netmap/*", "*", ["controlplane/netmap/*", "controlplane/tailcfg/*", "lib/*"],
     "the picture is made of messages alone"),
    ("controlplane/dns/*", "controlplane/*",
     ["controlplane/dns/*", "controlplane/netmap/*", "controlplane/tailcfg/*"],
     "names come of the picture; where it comes from is not a resolver's matter"),
    ("controlplane/dns/dns_names.*", "lib/base/sock.h", [], "names are worked out without I/O"),
    ("controlplane/control/*", "*", ["controlplane/control/*", "controlplane/tailcfg/*",
                                     "controlplane/noise/wg_env.h", "lib/base/*"],
     "an engine without I/O: the transport carries its actions out"),
    ("controlplane/netmap/*", "lib/base/sock.h", [], "the picture does no I/O but its cache's"),
    ("controlplane/localapi/*", "controlplane/*",
     ["controlplane/localapi/*", "controlplane/netmap/*", "controlplane/path/*",
      "controlplane/tailcfg/*"],
     "answers are made of values: they are compared with recorded ones"),
    ("controlplane/node/*", "controlplane/cli/*", [], "the daemon does not need its command line"),
    ("controlplane/policy/*", "*", ["controlplane/policy/*", "lib/base/*"],
     "what follows from a policy is worked out from it and the nodes alone"),
    ("controlplane/policy/*", "lib/base/fileio.h", [], "the policy does no I/O"),
    ("controlplane/net/*", "controlplane/*", ["controlplane/net/*"],
     "streams carry any protocol"),
    ("controlplane/ts2021/*", "controlplane/*",
     ["controlplane/ts2021/*", "controlplane/net/*", "controlplane/noise/*",
      "controlplane/tailcfg/*"],
     "the transport knows no requests"),
    ("controlplane/derp_client/*", "controlplane/*",
     ["controlplane/derp_client/*", "controlplane/derp/queue.h", "controlplane/net/*",
      "controlplane/noise/wg_env.h", "controlplane/tailcfg/*"],
     "whoever speaks through relays, a relay's client knows no WireGuard and no node"),
    ("controlplane/coord/*", "controlplane/*",
     ["controlplane/coord/*", "controlplane/net/*", "controlplane/noise/*",
      "controlplane/policy/*",
      "controlplane/tailcfg/*", "controlplane/ts2021/*"],
     "the coordinator is no node"),
    ("controlplane/cli/*", "controlplane/*",
     ["controlplane/cli/*", "controlplane/policy/policy.h", "controlplane/node/localapi.h", "controlplane/net/http_reply.h"],
     "the CLI speaks to the daemon over its socket, it does not contain it"),
]

# (who, may not call, reason). The clock's header has units that all may use.
CLOCK = re.compile(r"\b(clock_now_ns|clock_wall_ns|clock_gettime|gettimeofday|time)\s*\(")
FORBIDDEN_CALLS = [
    ("lib/wire/*", CLOCK, "a codec has no clock: time is an argument, so that tests can script it"),
    ("controlplane/noise/*", CLOCK, "an engine's time is an argument: tests script it"),
    ("controlplane/tailcfg/*", CLOCK, "time is an argument"),
    ("controlplane/netmap/*", CLOCK, "time is an argument"),
    ("controlplane/dns/dns_names.c", CLOCK, "time is an argument"),
    ("controlplane/control/*", CLOCK, "an engine's time is an argument"),
    ("controlplane/localapi/*", CLOCK, "time is an argument"),
    ("dataplane/stage/*", CLOCK, "a stage's time comes with the batch"),
    ("dataplane/table/*", CLOCK, "a table's time is an argument"),
]

FOLDERS = ["lib", "dataplane", "controlplane", "ebpf"]
OWN = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
GENERATED = re.compile(r"^[a-z_]+\.skel\.h$")


def matches(path, pattern):
    return fnmatch.fnmatchcase(path, pattern)


def judge(who, whom):
    """The reason why `who` may not include `whom`, or None."""
    for source, target, exceptions, reason in FORBIDDEN:
        if (matches(who, source) and matches(whom, target)
                and not any(matches(whom, e) for e in exceptions)):
            return reason
    return None


def sources(root):
    for folder in FOLDERS:
        for base, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(base, name), root)


def check_calls(who, text):
    # Comments may name what code may not call.
    code = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    faults = []
    for pattern, call, reason in FORBIDDEN_CALLS:
        if not matches(who, pattern):
            continue
        for match in call.finditer(code):
            line = code.count("\n", 0, match.start()) + 1
            faults.append(f"{who}:{line}: may not call {match.group(1)}: {reason}")
    return faults


def check_sources(root):
    faults = []
    for who in sources(root):
        with open(os.path.join(root, who), encoding="utf-8") as f:
            text = f.read()
        faults += check_calls(who, text)
        for match in OWN.finditer(text):
            whom = match.group(1)
            line = text.count("\n", 0, match.start(1)) + 1
            if GENERATED.match(whom):
                if not who.startswith("dataplane/"):
                    faults.append(f"{who}:{line}: {whom}: BPF programs belong to causeway-dp")
                continue
            if not os.path.exists(os.path.join(root, whom)):
                faults.append(f"{who}:{line}: {whom}: includes are written from the root")
                continue
            reason = judge(who, whom)
            if reason:
                faults.append(f"{who}:{line}: may not include {whom}: {reason}")
    return faults


def dpdk_flags():
    out = subprocess.run(["pkg-config", "--cflags", "libdpdk"], capture_output=True, text=True,
                         check=False)
    return out.stdout.split()


def compile_alone(args):
    root, build, compiler, header, flags = args
    command = compiler + ["-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra",
                          "-Wno-unused-parameter", "-Werror", "-include",
                          os.path.join(root, "lib/base/banned.h"), "-I", root,
                          "-I", os.path.join(build, "ebpf"), "-x", "c", "-"] + flags
    # From a .c of one line: a header as the main file would warn about #pragma once and the like.
    run = subprocess.run(command, input=f'#include "{header}"\n', capture_output=True, text=True,
                         check=False)
    if run.returncode == 0:
        return None
    return f"{header}: does not compile by itself:\n{run.stderr.strip()}"


def is_bpf_only(header):
    return header.startswith("ebpf/") and header != "ebpf/steer_shared.h"


def check_headers(root, build, compiler):
    flags = dpdk_flags()
    jobs = [(root, build, compiler, h, flags if h.startswith("dataplane/") else [])
            for h in sources(root) if h.endswith(".h") and not is_bpf_only(h)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return [fault for fault in pool.map(compile_alone, jobs) if fault]


def self_test():
    """The judge itself: pairs that must and must not be refused."""
    refused = [("lib/base/log.c", "lib/wire/wg.h"), ("lib/wire/wg.c", "lib/dpapi/dpapi.h"),
               ("dataplane/main.c", "controlplane/node/a.h"),
               ("controlplane/node/a.c", "dataplane/packet.h"),
               ("dataplane/stage/open.c", "dataplane/table/peer_build.h"),
               ("dataplane/crypto/aead_x.c", "dataplane/packet.h"),
               ("controlplane/cli/cmd_dp.c", "controlplane/node/config.h")]
    allowed = [("lib/wire/wg.c", "lib/base/bug.h"), ("dataplane/api/apply.c", "lib/dpapi/dpapi.h"),
               ("dataplane/api/apply.c", "dataplane/table/peer_build.h"),
               ("dataplane/stage/open.c", "dataplane/table/peer.h"),
               ("dataplane/port/port_xdp.c", "ebpf/steer_shared.h"),
               ("controlplane/cli/cmd_dp.c", "controlplane/cli/table.h")]
    faults = check_calls("lib/wire/wg.c", "/* clock_now_ns() */ f(uptime(x));\n")
    if len(check_calls("lib/wire/wg.c", "\n now = clock_now_ns();\n")) != 1:
        faults.append("a codec that reads the clock was let through")
    faults += [f"judge let {a} include {b}" for a, b in refused if judge(a, b) is None]
    faults += [f"judge refused that {a} includes {b}" for a, b in allowed if judge(a, b)]
    return faults


def main():
    faults = self_test()
    if sys.argv[1:] != ["--self-test"]:
        root, build, compiler = sys.argv[1], sys.argv[2], sys.argv[3:]
        faults += check_sources(root)
        if compiler:
            faults += check_headers(root, build, compiler)
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
