# SPDX-License-Identifier: Apache-2.0
"""The namespace builder: every test, benchmark and demonstration stands on it.

A Lab owns network namespaces named cw-<pid>-<n>-<name>, the processes started in
them and one folder with their logs. All of it is written to a state file before it
is made, so that whatever way the owner ends, the next Lab (or `Lab.down()`) removes
what is left: leftovers of dead owners go at start, a kept lab goes on request only.
Namespaces, veth pairs and bridges are plain `ip`; interfaces are created inside
their namespaces and never appear on the machine itself.
"""

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

RUN_DIR = os.environ.get("CAUSEWAY_LAB_RUN", "/run/causeway-lab")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_live = []
_live_lock = threading.RLock()
_serial = 0
_signals_set = False


class LabError(Exception):
    """Something of the lab itself (not of the thing under test) went wrong."""


class Skip(Exception):
    """A tool or program that a test needs is not there; its text names it."""


def build_dir():
    """The build folder whose helper programs (wire, traffic) are used."""
    return os.environ.get("CAUSEWAY_BUILD", os.path.join(ROOT, "build"))


def helper(name):
    """Path of a helper program of tests/lab built by meson."""
    path = os.path.join(build_dir(), "tests", "lab", name)
    if not os.access(path, os.X_OK):
        raise Skip("%s (build it: ninja -C %s tests/lab/%s)" % (path, build_dir(), name))
    return path


def tool(name):
    """Path of a system program, or Skip with its name."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Skip("program %s" % name)
    return path


def start_ticks(pid):
    """Start time of a process in clock ticks: with it a pid means one process."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return int(f.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def alive(pid, ticks):
    if start_ticks(pid) != ticks or not ticks:
        return False
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"


def run(argv, check=True, text_in=None, timeout=60):
    """Run a command to its end; its output is in the exception when it fails."""
    try:
        p = subprocess.run(argv, input=text_in, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LabError("%s: not done after %d s" % (" ".join(argv), timeout))
    if check and p.returncode:
        raise LabError("%s: exit %d: %s" % (" ".join(argv), p.returncode, p.stdout.strip()))
    return p


def wait_for(cond, seconds, what, step=0.05):
    """Poll cond() until it is true; LabError naming `what` after the time."""
    end = time.monotonic() + seconds
    while True:
        got = cond()
        if got:
            return got
        if time.monotonic() >= end:
            raise LabError("waited %.0f s in vain for %s" % (seconds, what))
        time.sleep(step)


class Proc:
    """A process in a namespace, its output in a log file. Several threads may ask."""

    def __init__(self, lab, ns, name, argv, env=None, stdin=None, stdout=None, pre=None):
        self.name = name
        self.log_path = os.path.join(lab.dir, name + ".log")
        self.out_path = stdout
        log = open(self.log_path, "ab")
        out = open(stdout, "wb") if stdout else log
        full = (["ip", "netns", "exec", ns.name] if ns else []) + list(argv)
        e = dict(os.environ)
        e.update(env or {})
        try:
            self.p = subprocess.Popen((pre or []) + full, stdin=stdin or subprocess.DEVNULL,
                                      stdout=out, stderr=log, env=e, start_new_session=True)
        finally:
            log.close()
            if stdout:
                out.close()
        self.pid = self.p.pid
        self.ticks = start_ticks(self.pid)
        lab._proc_started(self)

    def running(self):
        return self.p.poll() is None

    def signal(self, sig):
        if self.running():
            try:
                os.kill(self.pid, sig)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)
        self.p.wait(10)

    def stop(self, seconds=3.0):
        """SIGTERM, then SIGKILL after the time. Returns the exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.p.returncode

    def wait(self, seconds):
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError("%s did not end in %.0f s" % (self.name, seconds))

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def output(self):
        with open(self.out_path or self.log_path, errors="replace") as f:
            return f.read()

    def tail(self, lines=12):
        return "\n".join("    | " + x for x in self.log().splitlines()[-lines:])

    def cpu_ns(self):
        """Time all its threads have run, softirq they paid for included."""
        total = 0
        base = "/proc/%d/task" % self.pid
        try:
            for t in os.listdir(base):
                with open("%s/%s/schedstat" % (base, t)) as f:
                    total += int(f.read().split()[0])
        except (OSError, ValueError, IndexError):
            pass
        return total


class Ns:
    """One network namespace."""

    def __init__(self, lab, short):
        self.lab = lab
        self.short = short
        self.name = "%s-%s" % (lab.prefix, short)
        lab._ns_made(self)
        run(["ip", "netns", "add", self.name])
        self.sysctl("net.ipv6.conf.all.accept_dad", 0, "net.ipv6.conf.default.accept_dad", 0,
                    "net.ipv6.conf.default.accept_ra", 0,
                    "net.ipv6.conf.default.router_solicitations", 0)
        self.ip("link set lo up")

    def ip(self, *lines):
        """Lines of `ip -batch`, e.g. ns.ip("addr add 10.0.0.1/24 dev eth0")."""
        run(["ip", "-n", self.name, "-batch", "-"], text_in="\n".join(lines) + "\n")

    def sh(self, *argv, check=True, timeout=60, text_in=None):
        return run(["ip", "netns", "exec", self.name] + [str(a) for a in argv], check=check,
                   timeout=timeout, text_in=text_in)

    def sysctl(self, *pairs):
        argv = ["%s=%s" % (pairs[i], pairs[i + 1]) for i in range(0, len(pairs), 2)]
        self.sh("sysctl", "-qw", *argv)

    def offload(self, dev, *features):
        self.sh("ethtool", "-K", dev, *features)

    def nft(self, text):
        self.sh("nft", "-f", "-", text_in=text)

    def start(self, name, argv, **kw):
        return Proc(self.lab, self, self.short + "." + name, [str(a) for a in argv], **kw)

    def route_via(self, dst):
        return self.sh("ip", "route", "get", dst, check=False).stdout

    def ping(self, dst, count=1, wait=1.0, interval=0.2, size=56, check=False):
        """(received, average rtt in us or None)."""
        p = self.sh("ping", "-n", "-q", "-c", count, "-i", interval, "-W", wait, "-s", size, dst,
                    check=False, timeout=30 + count * (interval + wait))
        got = re.search(r"(\d+) received", p.stdout)
        rtt = re.search(r"= [\d.]+/([\d.]+)/", p.stdout)
        n = int(got.group(1)) if got else 0
        if check and n != count:
            raise LabError("ping %s -> %s: %d of %d answered" % (self.short, dst, n, count))
        return n, (float(rtt.group(1)) * 1000 if rtt else None)

    def wait_ping(self, dst, seconds=10):
        """Seconds until dst answered first."""
        t0 = time.monotonic()
        wait_for(lambda: self.ping(dst, 1, 0.3)[0], seconds, "a reply to %s from %s" %
                 (self.short, dst))
        return time.monotonic() - t0


class Lab:
    """Owner of namespaces and processes; use it as a context manager."""

    def __init__(self, keep=False, name="lab", first=False):
        """first: its processes go before other work of the machine."""
        global _serial
        if os.geteuid():
            raise Skip("root (namespaces need it)")
        tool("ip")
        catch_signals()
        Lab.clean_leftovers()
        with _live_lock:
            _serial += 1
            self.serial = _serial
            _live.append(self)
        self.keep = keep
        self.kept = False
        self.first = first
        self.prefix = "cw-%d-%d" % (os.getpid(), self.serial)
        self.dir = os.path.join(RUN_DIR, self.prefix)
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.lock = threading.RLock()
        self.state = {"owner": os.getpid(), "owner_ticks": start_ticks(os.getpid()),
                      "keep": False, "name": name, "prefix": self.prefix, "namespaces": [],
                      "processes": [], "files": []}
        self.namespaces = {}
        self.procs = []
        self._names = 0
        self._save()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.keep and exc[0] is None:
            self.release()
        else:
            self.close()

    def _save(self):
        tmp = os.path.join(self.dir, "state.tmp")
        with open(tmp, "w") as f:
            json.dump(self.state, f)
        os.replace(tmp, os.path.join(self.dir, "state.json"))

    def _ns_made(self, ns):
        with self.lock:
            self.namespaces[ns.short] = ns
            self.state["namespaces"].append(ns.name)
            self._save()

    def _proc_started(self, proc):
        if self.first:
            # A session is a scheduling group of its own, which nice alone does not move.
            try:
                with open("/proc/%d/autogroup" % proc.pid, "w") as f:
                    f.write("-20")
            except OSError:
                pass
        with self.lock:
            self.procs.append(proc)
            self.state["processes"].append([proc.pid, proc.ticks, proc.name])
            self._save()

    def unique_if(self, stem):
        """An interface name no other lab of this machine uses (12 characters at most)."""
        with self.lock:
            self._names += 1
            return "%s%x.%x" % (stem, os.getpid() * 16 + self.serial % 16, self._names)

    def remove_later(self, path):
        """A file outside the lab's folder that has to go with it."""
        with self.lock:
            self.state["files"].append(path)
            self._save()

    def path(self, *parts):
        p = os.path.join(self.dir, *parts)
        os.makedirs(os.path.dirname(p), mode=0o700, exist_ok=True)
        return p

    def ns(self, short):
        return Ns(self, short)

    def veth(self, a, a_if, b, b_if):
        """A veth pair between two namespaces, both ends up."""
        run(["ip", "link", "add", "name", a_if, "netns", a.name, "type", "veth",
             "peer", "name", b_if, "netns", b.name])
        a.ip("link set dev %s up" % a_if)
        b.ip("link set dev %s up" % b_if)

    def release(self):
        """Leave everything running for `--down`."""
        self.state["keep"] = True
        self._save()
        self.kept = True
        with _live_lock:
            if self in _live:
                _live.remove(self)

    def close(self):
        with _live_lock:
            if self in _live:
                _live.remove(self)
        if self.kept:
            return
        for p in reversed(self.procs):
            p.signal(signal.SIGCONT)
            p.signal(signal.SIGTERM)
        end = time.monotonic() + 2
        for p in self.procs:
            try:
                p.p.wait(max(0.01, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                p.kill()
        save = os.environ.get("CAUSEWAY_LAB_LOGS")
        if save:
            shutil.copytree(self.dir, os.path.join(save, self.prefix), dirs_exist_ok=True,
                            ignore=lambda d, names: [n for n in names
                                                     if not n.endswith((".log", ".json"))])
        _remove(self.dir, self.state)

    @staticmethod
    def _states():
        out = []
        try:
            names = os.listdir(RUN_DIR)
        except OSError:
            names = []
        for n in names:
            try:
                with open(os.path.join(RUN_DIR, n, "state.json")) as f:
                    out.append((os.path.join(RUN_DIR, n), json.load(f)))
            except (OSError, ValueError):
                continue
        return out

    @staticmethod
    def clean_leftovers():
        """Remove what dead owners left, kept labs excepted."""
        for path, st in Lab._states():
            if not st["keep"] and not alive(st["owner"], st["owner_ticks"]):
                _remove(path, st)
        known = {n for _, st in Lab._states() for n in st["namespaces"]}
        for name in _netns_names():
            m = re.fullmatch(r"cw-(\d+)-\d+-.*", name)
            if m and name not in known and not start_ticks(int(m.group(1))):
                _remove_ns(name)

    @staticmethod
    def down():
        """Remove kept labs; returns how many there were."""
        n = 0
        for path, st in Lab._states():
            if st["keep"]:
                _remove(path, st)
                n += 1
        Lab.clean_leftovers()
        return n


def _netns_names():
    try:
        return os.listdir("/run/netns")
    except OSError:
        return []


def _ns_pids(name):
    p = run(["ip", "netns", "pids", name], check=False)
    return [int(x) for x in p.stdout.split() if x.isdigit()]


def _remove_ns(name):
    for _ in range(20):
        pids = _ns_pids(name)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not pids:
            break
        time.sleep(0.02)
    run(["ip", "netns", "del", name], check=False)


def _remove(path, st):
    for pid, ticks, _ in st["processes"]:
        if alive(pid, ticks):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    for name in st["namespaces"]:
        if name in _netns_names():
            _remove_ns(name)
    for f in st["files"]:
        try:
            os.unlink(f)
        except OSError:
            pass
    shutil.rmtree(path, ignore_errors=True)


def catch_signals():
    """SIGINT, SIGTERM and SIGHUP end the owner through its cleanup, once."""
    global _signals_set
    if _signals_set or threading.current_thread() is not threading.main_thread():
        return
    _signals_set = True

    def ended(sig, frame):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        close_all()
        sys.stderr.write("lab: ended by signal %d, everything removed\n" % sig)
        sys.stderr.flush()
        os._exit(128 + sig)

    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, ended)


def close_all():
    for lab in list(_live):
        lab.close()


atexit.register(close_all)
