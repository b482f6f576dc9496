#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds and runs every test, group by group, and closes on `N passed, N failed, N skipped`.

  run_tests.py [--all] [--ci] [--list] [GROUP…]

A group is a meson test run in one build folder, or a script that prints a line a case
(`ok NAME`, `FAIL NAME reason`, `skip NAME reason`). --all adds what takes longer. With --ci a
skipped case is a failure: there nothing may be missing. Logs stay in build-test/logs."""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(ROOT, "build-test")
LOGS = os.path.join(WORK, "logs")
CASE = re.compile(r"^(ok|FAIL|skip) (\S+)(.*)$")
# AddressSanitizer and DPDK's own arenas: leaks at exit of a process that ends are no news.
SAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


# Groups that mostly wait: some of them run side by side, where they stand behind one another.
BESIDE = {"control", "ts2021", "coord", "coord-keys", "coord-crash", "coord-routes", "policy",
          "derp-mesh", "netcheck", "derp-client", "localapi", "mesh", "mesh-nat", "mesh-exit",
          "mesh-dns", "mesh-relay", "readme"}
BESIDE_JOBS = 3


class Totals:
    def __init__(self, ci):
        self.ci, self.passed, self.failed, self.skipped = ci, 0, 0, 0

    def case(self, group, verdict, name, reason=""):
        if verdict == "skip" and self.ci:
            verdict, reason = "FAIL", "skipped, which CI does not allow: " + reason
        if verdict == "ok":
            self.passed += 1
        elif verdict == "skip":
            self.skipped += 1
        else:
            self.failed += 1
        if verdict != "ok":
            print("  %s %s/%s %s" % (verdict, group, name, reason.strip()), flush=True)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def run(argv, log, timeout, env=None):
    """Exit code of argv, its output in log; a process group, ended whole at the time limit."""
    with open(log, "ab") as out:
        p = subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL, start_new_session=True,
                             env=dict(os.environ, **(env or {})))
        try:
            return p.wait(timeout)
        except subprocess.TimeoutExpired:
            # First politely: lab scripts remove their namespaces on SIGTERM.
            os.killpg(p.pid, signal.SIGTERM)
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
            out.write(b"\ntime limit of %d s\n" % timeout)
            return -1


def tail(log, lines=12):
    with open(log, errors="replace") as f:
        return "\n".join("    | " + x.rstrip() for x in f.readlines()[-lines:])


def set_up(directory, options, log, env=None):
    if os.path.exists(os.path.join(directory, "build.ninja")):
        return True
    shutil.rmtree(directory, ignore_errors=True)
    return run(["meson", "setup", directory] + options, log, 300, env) == 0


def build(directory, options, log, env=None):
    return (set_up(directory, options, log, env)
            and run(["ninja", "-C", directory], log, 1800) == 0)


def meson_group(options, args, env=None, timeout=900, whole=True):
    """The tests that args choose. whole builds the tree first, else only what they need is."""
    def go(group, log, totals):
        directory = os.path.join(WORK, group)
        if not (build if whole else set_up)(directory, options, log, env):
            totals.case(group, "FAIL", "build")
            print(tail(log, 30))
            return
        totals.case(group, "ok", "build")
        result = os.path.join(directory, "meson-logs", "testlog.json")
        if os.path.exists(result):
            os.unlink(result)
        code = run(["meson", "test", "-C", directory, "--print-errorlogs"] + args,
                   log, timeout, SAN_ENV)
        before = totals.failed
        if os.path.exists(result):
            with open(result) as f:
                for line in f:
                    t = json.loads(line)
                    verdict = {"OK": "ok", "SKIP": "skip"}.get(t["result"], "FAIL")
                    totals.case(group, verdict, t["name"].split(" / ")[-1], t["result"])
        elif code:
            totals.case(group, "FAIL", "meson-test")
        if totals.failed > before:
            print(tail(log, 40))
    return go


def script_group(argv, timeout=1200, env=None):
    def go(group, log, totals):
        code = run(argv, log, timeout, env)
        cases = 0
        with open(log, errors="replace") as f:
            for line in f:
                m = CASE.match(line)
                if m:
                    cases += 1
                    totals.case(group, *m.groups())
        if code == 77 and not cases:
            totals.case(group, "skip", group, "its tools are missing, see the log")
        elif not cases:
            totals.case(group, "FAIL" if code else "ok", group, "exit %d" % code)
            if code:
                print(tail(log))
        elif code and not any(re.match(r"^FAIL ", x) for x in open(log, errors="replace")):
            totals.case(group, "FAIL", group, "exit %d" % code)
            print(tail(log))
    return go


def built_group(options, argv, timeout):
    """A program of the release build, built first where that did not run before."""
    def go(group, log, totals):
        directory = os.path.join(WORK, "release")
        if not build(directory, options, log):
            totals.case(group, "FAIL", "build")
            print(tail(log, 30))
            return
        script_group([os.path.join(directory, argv[0])] + argv[1:], timeout)(group, log, totals)
    return go


def py(path, *args):
    return [sys.executable, os.path.join(ROOT, path)] + list(args)


def format_group(group, log, totals):
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, capture_output=True,
                           text=True).stdout.split()
    code = run(["clang-format", "--dry-run", "-Werror"] + files, log, 300)
    totals.case(group, "FAIL" if code else "ok", "clang-format")
    if code:
        print(tail(log))


def groups(everything):
    werror = ["-Dwerror=true"]
    release = werror + ["-Dbuildtype=release", "-Db_lto=true"]
    address = werror + ["-Db_sanitize=address,undefined", "-Dbuildtype=debugoptimized"]
    fuzz = address + ["-Db_lundef=false", "-Dfuzz=true", "-Dtests=true"]
    seconds = "60" if everything else "6"
    lab_env = {"CAUSEWAY_BIN": os.path.join(WORK, "release", "bin"),
               "CAUSEWAY_BUILD": os.path.join(WORK, "release")}
    if everything:
        lab_env["CAUSEWAY_LAB_ALL"] = "1"
    table = [
        ("format", format_group),
        ("release", meson_group(release, [])),
        ("clang", meson_group(werror, ["--suite", "crypto"], {"CC": "clang"})),
        ("sanitize", meson_group(address, ["--no-suite", "slow"], whole=False)),
        ("threads", meson_group(werror + ["-Db_sanitize=thread"], ["--suite", "threads"],
                                whole=False)),
        ("fuzz", meson_group(fuzz, ["--suite", "fuzz", "--test-args=-max_total_time=" + seconds],
                             {"CC": "clang"}, 3600, whole=False)),
        # Before all that has a stock program as the other side.
        ("foreign", script_group(["sh", "tests/interop/build.sh", "wireguard-go",
                                  "boringtun-cli", "tailscaled", "tailscale", "control",
                                  "derpclient", "derper", "netcheck", "ts2021"], 3600)),
        ("wire", script_group(py("tests/lab/test_wire.py"), 600, lab_env)),
        ("lab", script_group(py("tests/lab/lab.py", "--static", "--once", "--cases"), 600,
                             lab_env)),
        ("start", script_group(py("tests/lab/test_start.py"), 300, lab_env)),
        ("badinput", script_group(py("tests/lab/test_badinput.py"), 600, lab_env)),
        ("failclosed", script_group(py("tests/lab/test_failclosed.py"), 600, lab_env)),
        ("exit", script_group(py("tests/lab/test_exit.py"), 300, lab_env)),
        ("queues", script_group(py("tests/lab/test_queues.py"), 300, lab_env)),
        ("lanes", script_group(py("tests/lab/test_lanes.py"), 600, lab_env)),
        ("router", script_group(py("tests/lab/test_router.py"), 600, lab_env)),
        ("dpdk", script_group(py("tests/lab/test_dpdk.py", "--jobs", "3"), 600, lab_env)),
        ("failover", script_group(py("tests/lab/test_failover.py"), 900, lab_env)),
        ("lab-mesh", script_group(py("tests/lab/lab.py", "--once", "--cases"), 600, lab_env)),
        ("derp", script_group(py("tests/interop/test_derp.py"), 600, lab_env)),
        # The longest first, of those that run side by side.
        ("mesh", script_group(py("tests/interop/test_mesh.py"), 600, lab_env)),
        ("coord-crash", script_group(py("tests/interop/test_coord_crash.py"), 600, lab_env)),
        ("mesh-nat", script_group(py("tests/interop/test_mesh_nat.py"), 1200, lab_env)),
        ("coord-routes", script_group(py("tests/interop/test_coord_routes.py"), 300, lab_env)),
        ("control", script_group(py("tests/interop/test_control.py"), 300, lab_env)),
        ("ts2021", script_group(py("tests/interop/test_ts2021.py"), 300, lab_env)),
        ("coord", script_group(py("tests/interop/test_coord.py"), 300, lab_env)),
        ("coord-keys", script_group(py("tests/interop/test_coord_keys.py"), 300, lab_env)),
        ("policy", script_group(py("tests/interop/test_policy.py"), 300, lab_env)),
        ("derp-mesh", script_group(py("tests/interop/test_derp_mesh.py"), 300, lab_env)),
        ("netcheck", script_group(py("tests/interop/test_netcheck.py"), 300, lab_env)),
        ("derp-client", script_group(py("tests/interop/test_derp_client.py"), 600, lab_env)),
        ("localapi", script_group(py("tests/interop/test_localapi.py"), 600, lab_env)),
        ("mesh-exit", script_group(py("tests/interop/test_mesh_exit.py"), 300, lab_env)),
        ("mesh-dns", script_group(py("tests/interop/test_mesh_dns.py"), 300, lab_env)),
        ("mesh-relay", script_group(py("tests/interop/test_mesh_relay.py", "--jobs", "3"), 300,
                                    lab_env)),
        ("readme", script_group(py("tests/interop/test_readme.py"), 300, lab_env)),
        ("wireguard", script_group(py("tests/interop/test_wireguard.py"), 900, lab_env)),
    ]
    if everything:
        # About seven minutes.
        table.append(("aead-random", built_group(
            release, ["tests/unit/test_aead_random", "10000000"], 3600)))
        table.append(("qemu", script_group(
            ["bash", "tests/lab/qemu/boot.sh", os.path.join(WORK, "release")], 1800, lab_env)))
    return table


def one_group(name, go, ci):
    """Its own totals."""
    totals, start = Totals(ci), time.monotonic()
    log = os.path.join(LOGS, name + ".log")
    open(log, "w").close()
    print("%s ..." % name, flush=True)
    go(name, log, totals)
    print("%s: %d passed, %d failed, %d skipped in %.0f s" % (
        name, totals.passed, totals.failed, totals.skipped, time.monotonic() - start), flush=True)
    return totals


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--all", action="store_true", help="also what takes longer")
    p.add_argument("--ci", action="store_true", help="a skipped case is a failure")
    p.add_argument("--list", action="store_true", help="print the groups")
    p.add_argument("group", nargs="*")
    a = p.parse_args()
    table = groups(a.all)
    names = [n for n, _ in table]
    if a.list:
        print("\n".join(names))
        return 0
    for g in a.group:
        if g not in names:
            p.error("no group %s; there are %s" % (g, ", ".join(names)))
    os.makedirs(LOGS, exist_ok=True)
    totals = Totals(a.ci)
    todo = [(name, go) for name, go in table if not a.group or name in a.group]
    while todo:
        first, todo = todo[0], todo[1:]
        beside = [first]
        while first[0] in BESIDE and todo and todo[0][0] in BESIDE:
            beside.append(todo[0])
            todo = todo[1:]
        with concurrent.futures.ThreadPoolExecutor(BESIDE_JOBS) as pool:
            for t in pool.map(lambda g: one_group(*g, a.ci), beside):
                totals.add(t)
    print("%d passed, %d failed, %d skipped" % (totals.passed, totals.failed, totals.skipped))
    return 1 if totals.failed or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())
