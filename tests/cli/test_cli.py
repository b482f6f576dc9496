#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows the command line's promises: exit codes, JSON, tables, what `debug import` writes and
refuses, against daemons played by this script.

Usage: test_cli.py CAUSEWAY SOURCE_ROOT
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

CAUSEWAY, ROOT = sys.argv[1:3]
KEY = "ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
INTERFACE = f"[Interface]\nPrivateKey = AA{KEY}\n"
PEER = f"[Peer]\nPublicKey = BA{KEY}\n"


def run(*args):
    return subprocess.run([CAUSEWAY, *args], capture_output=True, text=True, timeout=30,
                          check=False)


class Folder(unittest.TestCase):
    def setUp(self):
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.folder = temp.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def serve(self, kind, handler):
        """Plays a daemon for one connection; returns its socket's path."""
        path = self.path("s")
        server = socket.socket(socket.AF_UNIX, kind)
        server.bind(path)
        server.listen(1)

        def loop():
            connection, _ = server.accept()
            with connection:
                handler(connection)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.addCleanup(server.close)
        self.addCleanup(thread.join, 10)
        return path

    def serve_http(self, reply, seen=None):
        def handler(connection):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            if seen is not None:
                seen.append(request.split(b"\r\n")[0].decode())
            # In two pieces: a reply may come in any.
            connection.sendall(reply[:20])
            connection.sendall(reply[20:])
        return self.serve(socket.SOCK_STREAM, handler)


def http(body, status="200 OK"):
    return (f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def chunked(body):
    half = len(body) // 2
    out = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for part in (body[:half], body[half:]):
        out += f"{len(part):x}\r\n{part}\r\n"
    return (out + "0\r\n\r\n").encode()


class Usage(Folder):
    def test_wrong_words_are_usage(self):
        for words in ([], ["nope"], ["dp"], ["dp", "show"], ["dp", "show", "nope"],
                      ["dp", "show", "peers", "--limit", "-1"], ["status", "x"], ["debug"],
                      ["debug", "import"], ["completion", "zsh"], ["help", "nope"], ["--socket"]):
            self.assertEqual(run(*words).returncode, 2, words)

    def test_silent_daemons_are_unreachable(self):
        none = self.path("none")
        for words in (["status"], ["reload"], ["down"], ["up"], ["dp", "show", "peers"]):
            for as_json in ([], ["--json"]):
                r = run("--socket", none, f"--dp-socket={none}", *words, *as_json)
                self.assertEqual(r.returncode, 3, words)
                self.assertIn(none, r.stderr)
                if as_json:
                    self.assertIn("error", json.loads(r.stdout))

    def test_json_of_verbs_without_daemon(self):
        self.assertIn("version", json.loads(run("version", "--json").stdout))
        self.assertGreater(len(json.loads(run("--json", "help").stdout)["verbs"]), 5)
        self.assertEqual(json.loads(run("completion", "bash", "--json").stdout)["shell"], "bash")

    def test_full_disk_is_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            r = subprocess.run([CAUSEWAY, "help"], stdout=full, check=False)
        self.assertEqual(r.returncode, 1)

    def test_kept_completion_is_current(self):
        with open(os.path.join(ROOT, "configs/completion/causeway.bash"), encoding="utf-8") as f:
            self.assertEqual(f.read(), run("completion", "bash").stdout)

    def test_manual_names_verbs_and_options(self):
        with open(os.path.join(ROOT, "docs/man/causeway.1"), encoding="utf-8") as f:
            page = f.read()
        for verb in json.loads(run("help", "--json").stdout)["verbs"]:
            self.assertIn("\n.It Cm " + verb["name"], page)
            for option in re.findall(r"--([a-z-]+)", verb["args"]):
                self.assertIn("Fl -" + option, page)

    def test_completion_completes(self):
        script = ("source /dev/stdin; COMP_WORDS=(causeway --json dp show co); COMP_CWORD=4;"
                  "_causeway; echo ${COMPREPLY[@]}")
        r = subprocess.run(["bash", "-c", script], input=run("completion", "bash").stdout,
                           capture_output=True, text=True, check=True)
        self.assertEqual(r.stdout.strip(), "counters")


class Daemon(Folder):
    status = {"BackendState": "Running", "Self": {"HostName": "a", "TailscaleIPs": ["10.9.0.1"]},
              "Health": ["no filter"], "Counters": {},
              "Peer": {"nodekey:00": {"HostName": "b\u001b[2J", "CurAddr": "203.0.113.2:41641",
                                      "RxBytes": 2048, "TxBytes": 1, "Online": True,
                                      "LastHandshake": "0001-01-01T00:00:00Z",
                                      "AllowedIPs": ["10.2.0.0/24", "fd02::/64"]}}}

    def test_status(self):
        seen = []
        r = run("status", "--socket", self.serve_http(chunked(json.dumps(self.status)), seen))
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(seen, ["GET /localapi/v0/status HTTP/1.1"])
        for text in ("203.0.113.2:41641", "2.0 KiB", "never", "10.2.0.0/24, fd02::/64",
                     "no filter"):
            self.assertIn(text, r.stdout)
        self.assertNotIn("\x1b", r.stdout)

    def test_status_json_is_whole(self):
        r = run("status", "--json", "--socket", self.serve_http(http(json.dumps(self.status))))
        self.assertEqual(json.loads(r.stdout), self.status)

    def test_stopped_node_is_failure(self):
        stopped = dict(self.status, BackendState="Stopped")
        r = run("status", "--socket", self.serve_http(http(json.dumps(stopped))))
        self.assertEqual(r.returncode, 1)

    def test_reload_refused_with_place(self):
        reply = http("node.hujson:3:7: expected a string\n", "400 Bad Request")
        r = run("reload", "--json", "--socket", self.serve_http(reply))
        self.assertEqual(r.returncode, 1)
        self.assertEqual(json.loads(r.stdout)["error"], "node.hujson:3:7: expected a string")

    def test_reload_and_down(self):
        for verb in ("reload", "down"):
            seen = []
            r = run(verb, "--json", "--socket", self.serve_http(http(""), seen))
            self.assertEqual((r.returncode, json.loads(r.stdout)), (0, {"ok": True}))
            self.assertEqual(seen, [f"POST /localapi/v0/{verb} HTTP/1.1"])
            os.unlink(self.path("s"))

    def test_coordinator_documents(self):
        for words in (["coord", "dns"], ["coord", "dns", "set"], ["coord", "derp", "get"],
                      ["coord", "dns", "show", "x"]):
            self.assertEqual(run(*words).returncode, 2, words)
        r = run("coord", "dns", "set", self.path("none"))
        self.assertEqual(r.returncode, 1)
        self.assertIn(self.path("none") + ": cannot read: No such file", r.stderr)
        with open(self.path("latin"), "wb") as f:
            f.write(b'{"domains": ["\xe9"]}')
        r = run("coord", "dns", "set", self.path("latin"))
        self.assertIn("no text in UTF-8", r.stderr)
        reply = http("dns.hujson:2:3: expected a string\n", "400 Bad Request")
        r = run("coord", "dns", "set", self.write("dns", "{}"), "--socket", self.serve_http(reply))
        self.assertEqual(r.returncode, 1)
        self.assertIn("dns.hujson:2:3: expected a string", r.stderr)
        os.unlink(self.path("s"))
        told = json.dumps({"version": 0, "set": None, "text": None, "told": {"Proxied": True}})
        r = run("coord", "dns", "show", "--socket", self.serve_http(http(told)))
        self.assertEqual(json.loads(r.stdout), {"Proxied": True})

    def serve_all(self, answers):
        """Answers by path, for as many connections as come; returns the socket and what was asked:
        (method, path, body as JSON)."""
        path, seen = self.path("all"), []
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(path)
        server.listen(8)

        def one(connection):
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head, body = data.split(b"\r\n\r\n", 1)
                length = re.search(rb"Content-Length: (\d+)", head)
                while length and len(body) < int(length.group(1)):
                    body += connection.recv(65536)
                method, target = head.decode().split()[:2]
                seen.append((method, target[len("/localapi/v0/"):],
                             json.loads(body) if body else None))
                answer = answers[seen[-1][1].split("?")[0]]
                if isinstance(answer, list):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for message in answer:
                        line = json.dumps(message) + "\n"
                        connection.sendall(f"{len(line):x}\r\n{line}\r\n".encode())
                    # Until the reader goes, however it does.
                    try:
                        connection.recv(1)
                    except ConnectionResetError:
                        pass
                else:
                    connection.sendall(http(json.dumps(answer) if answer is not None else ""))

        def loop():
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        self.addCleanup(server.close)
        return path, seen

    prefs = {"ControlURL": "", "RouteAll": False, "ExitNodeID": "", "ExitNodeIP": "",
             "CorpDNS": True, "ShieldsUp": False, "AdvertiseTags": None, "Hostname": "",
             "AdvertiseRoutes": None, "NoSNAT": False, "NoStatefulFiltering": True,
             "NetfilterMode": 2, "WantRunning": False, "LoggedOut": True, "Config": None}
    fresh = {"BackendState": "NeedsLogin", "Self": {"PublicKey": "nodekey:00"}, "Peer": None}

    def test_up_of_a_static_node(self):
        path, seen = self.serve_all({"status": self.status, "prefs": self.prefs, "up": None})
        r = run("up", "--json", "--socket", path)
        self.assertEqual((r.returncode, json.loads(r.stdout)), (0, {"ok": True}), r.stderr)
        self.assertEqual(seen[-1][:2], ("POST", "up"))

    def up(self, status, prefs, messages, *words):
        return self.serve_all({
            "status": status, "prefs": prefs, "check-prefs": {}, "start": None,
            "login-interactive": None, "watch-ipn-bus": messages,
            "check-ip-forwarding": {"Warning": "no forwarding"}})

    def test_up_logs_in(self):
        path, seen = self.up(self.fresh, self.prefs, [
            {"State": 2}, {"BrowseToURL": "http://c/a/1"}, {"LoginFinished": {}}, {"State": 5},
            {"State": 6}])
        r = run("up", "--socket", path, "--login-server=http://c", "--hostname", "gw",
                "--advertise-routes=10.1.0.0/24,fd01::/64", "--advertise-exit-node",
                "--snat-subnet-routes=false", "--timeout=10s")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("\thttp://c/a/1\n", r.stderr)
        self.assertIn("Success.", r.stderr)
        self.assertIn("no forwarding", r.stderr)
        self.assertEqual([s[1] for s in seen if s[0] == "POST"],
                         ["check-prefs", "start", "login-interactive"])
        want = dict(self.prefs, ControlURL="http://c", Hostname="gw", NoSNAT=True, WantRunning=True,
                    LoggedOut=False,
                    AdvertiseRoutes=["10.1.0.0/24", "fd01::/64", "0.0.0.0/0", "::/0"],
                    ExitNodeAllowLANAccess=False)
        start = next(s[2] for s in seen if s[1] == "start")
        self.assertEqual({k: v for k, v in start["UpdatePrefs"].items()}, want)
        self.assertEqual(start["AuthKey"], "")
        # It watches before it starts anything.
        order = [s[1].split("?")[0] for s in seen]
        self.assertLess(order.index("watch-ipn-bus"), order.index("start"))

    def test_up_with_a_key_shows_no_url(self):
        path, seen = self.up(self.fresh, self.prefs, [{"BrowseToURL": "http://c/a"}, {"State": 6}])
        key = self.write("key", "tskey-auth-1\n")
        r = run("up", "--socket", path, "--login-server=http://c", "--auth-key=file:" + key)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))
        start = next(s[2] for s in seen if s[1] == "start")
        self.assertEqual(start["AuthKey"], "tskey-auth-1")

    def test_up_tells_the_backends_error_and_its_timeout(self):
        path, _ = self.up(self.fresh, self.prefs, [{"ErrMessage": "invalid key"}])
        r = run("up", "--socket", path, "--login-server=http://c", "--auth-key=x")
        self.assertEqual(r.returncode, 1)
        self.assertIn("backend error: invalid key", r.stderr)
        os.unlink(path)
        path, _ = self.up(self.fresh, self.prefs, [{"State": 5}])
        r = run("up", "--socket", path, "--login-server=http://c", "--timeout=200ms")
        self.assertEqual(r.returncode, 1)
        self.assertIn("timeout waiting", r.stderr)

    joined = dict(prefs, ControlURL="http://c", WantRunning=True, LoggedOut=False, Hostname="gw",
                  NoSNAT=True, Config={"UserProfile": {"LoginName": "u@x"}})
    running = {"BackendState": "Running", "HaveNodeKey": True, "MagicDNSSuffix": "m.net",
               "Self": {"ID": "n1", "DNSName": "gw.m.net.", "TailscaleIPs": ["100.64.0.1"],
                        "UserID": 7, "OS": "linux", "Online": True},
               "User": {"7": {"LoginName": "u@x"}},
               "Peer": {"nodekey:2": {"ID": "n2", "DNSName": "b.m.net.", "UserID": 7, "OS": "linux",
                                      "TailscaleIPs": ["100.64.0.2", "fd7a::2"], "Online": True,
                                      "Active": True, "CurAddr": "192.0.2.2:7", "RxBytes": 5,
                                      "TxBytes": 6, "ExitNodeOption": True, "Relay": "r"}}}

    def test_up_refuses_to_forget_settings(self):
        path, seen = self.up(self.running, self.joined, [])
        r = run("up", "--socket", path, "--accept-routes")
        self.assertEqual(r.returncode, 1)
        self.assertIn("requires mentioning all non-default flags", r.stderr)
        self.assertIn("causeway up --accept-routes --login-server=http://c --hostname=gw "
                      "--snat-subnet-routes=false", r.stderr)
        self.assertFalse([s for s in seen if s[0] != "GET"])

    def test_up_edits_a_running_node(self):
        for words, routes in ((("--login-server=http://c", "--hostname=gw", "--accept-routes",
                                "--snat-subnet-routes=false"), False), (("--reset",
                                "--login-server=http://c", "--hostname=gw2"), True)):
            path, seen = self.up(self.running, self.joined, [])
            r = run("up", "--socket", path, *words)
            self.assertEqual(r.returncode, 0, r.stderr)
            method, what, masked = seen[-1]
            self.assertEqual((method, what), ("PATCH", "prefs"))
            self.assertTrue(masked["WantRunning"] and masked["WantRunningSet"])
            self.assertEqual(masked.get("AdvertiseRoutesSet", False), routes)
            os.unlink(path)

    def test_up_refuses_another_server(self):
        path, seen = self.up(self.running, self.joined, [])
        r = run("up", "--socket", path, "--reset", "--login-server=http://d")
        self.assertEqual(r.returncode, 1)
        self.assertIn("can't change --login-server without --force-reauth", r.stderr)
        self.assertFalse([s for s in seen if s[0] != "GET"])

    def test_up_again_waits_for_the_new_key(self):
        path, seen = self.up(self.running, self.joined, [
            {"State": 6}, {"SelfChange": {"Key": "nodekey:99"}}])
        r = run("up", "--socket", path, "--reset", "--login-server=http://c", "--force-reauth")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(("POST", "login-interactive", None), seen)

    def test_bare_up(self):
        stopped = dict(self.running, BackendState="Stopped")
        path, seen = self.up(stopped, self.joined, [{"State": 5}, {"State": 6}])
        r = run("up", "--socket", path)
        self.assertEqual(r.returncode, 0, r.stderr)
        patch = next(s for s in seen if s[0] == "PATCH")
        self.assertEqual(patch[2], {"WantRunning": True, "WantRunningSet": True})

    def test_set(self):
        prefs = dict(self.joined, AdvertiseRoutes=["10.1.0.0/24"])
        for words, want in (
                (["--exit-node=b"], {"ExitNodeID": "n2", "ExitNodeIP": ""}),
                (["--exit-node=100.64.0.2"], {"ExitNodeID": "n2"}),
                (["--exit-node="], {"ExitNodeID": "", "ExitNodeIP": ""}),
                (["--advertise-exit-node"],
                 {"AdvertiseRoutes": ["10.1.0.0/24", "0.0.0.0/0", "::/0"]}),
                (["--advertise-routes="], {"AdvertiseRoutes": None}),
                (["--netfilter-mode", "off", "--shields-up=false"],
                 {"NetfilterMode": 0, "ShieldsUp": False})):
            path, seen = self.up(self.running, prefs, [])
            r = run("set", "--socket", path, *words)
            self.assertEqual(r.returncode, 0, (words, r.stderr))
            masked = seen[-1][2]
            for key, value in want.items():
                self.assertEqual((masked[key], masked[key + "Set"]), (value, True), words)
            self.assertNotIn("HostnameSet", masked)
            os.unlink(path)

    def test_settings_that_are_none(self):
        for words, why in (
                (["--advertise-routes=1.2.3.4/8"], "expected 1.0.0.0/8"),
                (["--advertise-routes=x"], "not a prefix"),
                (["--advertise-routes=0.0.0.0/0"], "--advertise-exit-node"),
                (["--exit-node=nobody"], "nobody"), (["--exit-node=gw"], "this node"),
                (["--netfilter-mode=maybe"], "maybe")):
            path, seen = self.up(self.running, self.joined, [])
            r = run("set", "--socket", path, *words)
            self.assertEqual(r.returncode, 1, words)
            self.assertIn(why, r.stderr)
            self.assertFalse([s for s in seen if s[0] != "GET"])
            os.unlink(path)
        for words, why in ((["set", "--hostnam=x"], "--hostname"), (["set", "x"], "too many"),
                           (["set"], "usage"), (["set", "--shields-up=no"], "true or false"),
                           (["set", "--hostname=a", "--hostname=b"], "twice"),
                           (["set", "--login-server=x"], "no option"),
                           (["up", "--timeout=soon"], "soon"), (["up", "foo"], "too many")):
            r = run(*words)
            self.assertEqual(r.returncode, 2, words)
            self.assertIn(why, r.stderr)

    def test_status_of_a_mesh(self):
        path, _ = self.serve_all({"status": self.running})
        r = run("status", "--socket", path, "--header")
        self.assertEqual(r.returncode, 0, r.stderr)
        rows = [re.split(r"  +", x.strip()) for x in r.stdout.splitlines()]
        self.assertEqual(rows[0], ["IP", "Hostname", "Owner", "OS", "Status"])
        self.assertEqual(rows[2], ["100.64.0.1", "gw", "u@", "linux", "-"])
        self.assertEqual(rows[3], ["100.64.0.2", "b", "u@", "linux", "active; offers exit node; "
                                   "direct 192.0.2.2:7, tx 6 rx 5"])

    def test_status_of_one_that_does_not_run(self):
        for state, text in (("Stopped", "Causeway is stopped."), ("NeedsLogin", "Logged out."),
                            ("NeedsMachineAuth", "not yet approved")):
            path, _ = self.serve_all({"status": dict(self.fresh, BackendState=state,
                                                     AuthURL="http://c/a")})
            r = run("status", "--socket", path)
            self.assertEqual(r.returncode, 1)
            self.assertIn(text, r.stdout)
            self.assertEqual("Log in at: http://c/a" in r.stdout, state == "NeedsLogin")
            os.unlink(path)

    def test_ip(self):
        for words, want in (([], "100.64.0.1\n"), (["b"], "100.64.0.2\nfd7a::2\n"),
                            (["-4", "b.m.net"], "100.64.0.2\n"), (["-6", "b"], "fd7a::2\n"),
                            (["-1", "100.64.0.2"], "100.64.0.2\n"),
                            (["--assert", "100.64.0.1"], "")):
            path, _ = self.serve_all({"status": self.running})
            r = run("ip", "--socket", path, *words)
            self.assertEqual((r.returncode, r.stdout), (0, want), words)
            os.unlink(path)
        for words in (["-6"], ["nobody"], ["--assert", "100.64.0.2"]):
            path, _ = self.serve_all({"status": self.running})
            self.assertEqual(run("ip", "--socket", path, *words).returncode, 1, words)
            os.unlink(path)

    def ping(self, answer, *words):
        path, seen = self.serve_all({"status": self.running, "ping": answer})
        r = run("ping", "--socket", path, *words)
        os.unlink(path)
        return r, [s[1] for s in seen if s[1].startswith("ping")]

    def test_ping(self):
        pong = {"IP": "100.64.0.2", "NodeIP": "100.64.0.2", "NodeName": "b", "Err": "",
                "LatencySeconds": 0.0123, "Endpoint": "192.0.2.2:7", "DERPRegionID": 0}
        r, asked = self.ping(pong, "b")
        self.assertEqual((r.returncode, r.stdout),
                         (0, "pong from b (100.64.0.2) via 192.0.2.2:7 in 12ms\n"))
        self.assertEqual(asked, ["ping?ip=100.64.0.2&type=disco&size=0"])
        relayed = dict(pong, Endpoint="", DERPRegionID=1, DERPRegionCode="fra", LatencySeconds=0)
        r, asked = self.ping(relayed, "-c", "2", "b")
        self.assertEqual(r.returncode, 1)
        self.assertEqual(r.stdout, "pong from b (100.64.0.2) via DERP(fra) in 0s\n" * 2)
        self.assertIn("direct connection not established", r.stderr)
        r, asked = self.ping(relayed, "-c", "1", "--until-direct=false", "b")
        self.assertEqual(r.returncode, 0)
        r, asked = self.ping(dict(pong, Endpoint=""), "--icmp", "100.64.0.2")
        self.assertEqual((r.returncode, r.stdout), (0, "pong from b (100.64.0.2) via ICMP in 12ms\n"))
        self.assertIn("type=ICMP", asked[0])
        r, asked = self.ping({"Err": "no matching peer"}, "100.64.0.9")
        self.assertEqual(r.returncode, 1)
        self.assertIn("no matching peer", r.stderr)
        r, asked = self.ping(pong, "gw")
        self.assertEqual((r.returncode, r.stdout, asked), (0, "100.64.0.1 is local Tailscale IP\n",
                                                           []))
        # An answer that does not end: nobody is there.
        r, asked = self.ping([], "-c", "1", "--timeout", "200ms", "b")
        self.assertEqual((r.returncode, r.stdout), (1, 'ping "100.64.0.2" timed out\n'))
        self.assertIn("no reply", r.stderr)

    def test_whois(self):
        who = {"Node": {"Name": "b.m.net.", "StableID": "n2", "Addresses": ["100.64.0.2/32"],
                        "AllowedIPs": ["100.64.0.2/32", "10.2.0.0/24"]},
               "UserProfile": {"ID": 7, "LoginName": "u@x"}, "CapMap": {"c": None}}
        path, seen = self.serve_all({"whois": who})
        r = run("whois", "--socket", path, "100.64.0.2:80")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(seen[0][1], "whois?addr=100.64.0.2:80")
        for text in ("b.m.net\n", "n2", "[10.2.0.0/24]", "u@x", "- c\n"):
            self.assertIn(text, r.stdout)
        r = run("whois", "--socket", self.serve_http(http("no match", "404 Not Found")), "1.2.3.4")
        self.assertEqual(r.returncode, 1)
        self.assertIn("peer not found", r.stderr)

    def test_netcheck(self):
        report = {"Now": "2026-11-25T22:32:58Z", "UDP": True, "IPv4": True, "IPv6": False,
                  "OSHasIPv6": True, "GlobalV4": "192.0.2.1:5", "MappingVariesByDestIP": False,
                  "PreferredDERP": 2, "RegionLatency": {"1": 12340000, "2": 209816}}
        regions = {str(i): {"RegionCode": "r%d" % i, "RegionName": "Town %d" % i}
                   for i in (1, 2, 3)}
        path, _ = self.serve_all({"netcheck": report, "derpmap": {"Regions": regions}})
        r = run("netcheck", "--socket", path)
        self.assertEqual(r.returncode, 0, r.stderr)
        for text in ("* IPv4: yes, 192.0.2.1:5\n", "* IPv6: no, but OS has support\n",
                     "* MappingVariesByDestIP: false\n", "* Nearest DERP: Town 2\n"):
            self.assertIn(text, r.stdout)
        self.assertEqual(re.findall(r"- +(r\d): (\S*)", r.stdout),
                         [("r2", "200µs"), ("r1", "12.3ms"), ("r3", "")])
        os.unlink(path)
        path, _ = self.serve_all({"netcheck": report, "derpmap": None})
        self.assertEqual(run("netcheck", "--socket", path).returncode, 1)

    def test_debug_path(self):
        ways = {"Peer": "b.m.net.", "SpeaksDisco": True, "Direct": "192.0.2.2:7",
                "DERPRegionCode": "fra", "TrustedForSeconds": 4.25, "Candidates": [
                    {"Endpoint": "192.0.2.2:7", "From": ["coordinator", "ping"], "PingedAgo": 1.2,
                     "AnsweredAgo": None, "LatencySeconds": 0.0123, "Points": 20, "BestPoints": 10,
                     "Verdict": "chosen"}]}
        path, seen = self.serve_all({"status": self.running, "path": ways})
        r = run("debug", "path", "b", "--socket", path)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(seen[-1][1], "path?ip=100.64.0.2")
        for text in ("b.m.net.: direct 192.0.2.2:7 (trusted for 4.2 s); relay fra\n",
                     "coordinator, ping", "1 s ago", "never", "12.3 ms", "chosen"):
            self.assertIn(text, r.stdout)

    def test_debug_watch(self):
        path, seen = self.serve_all({"watch-ipn-bus": [{"State": 6}, {"Prefs": {}}]})
        p = subprocess.Popen([CAUSEWAY, "debug", "watch-ipn", "--socket", path],
                             stdout=subprocess.PIPE, text=True)
        self.assertEqual([p.stdout.readline() for _ in range(3)], ["{\n", '  "State": 6\n', "}\n"])
        p.terminate()
        p.wait(10)
        p.stdout.close()
        self.assertEqual(seen[0][1], "watch-ipn-bus?mask=12422")

    def test_nonsense_is_failure(self):
        for reply in (b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
                      http("{")):
            r = run("status", "--socket", self.serve_http(reply))
            self.assertEqual(r.returncode, 1, reply)
            os.unlink(self.path("s"))


class Dataplane(Folder):
    def serve_show(self, what, pieces, error=0):
        def handler(connection):
            hello = connection.recv(65536)
            kind, _, length, _, _, version, role = struct.unpack_from("<HHIIIII", hello)
            assert (kind, length, version, role) == (1, len(hello), 1, 0), hello
            show = connection.recv(65536)
            kind, _, _, seq, _ = struct.unpack_from("<HHIII", show)
            assert (kind, show[16:48].rstrip(b"\0").decode()) == (13, what), show
            connection.send(struct.pack("<HHIII", 68, 0, 24, 0, 0) + bytes(8))
            for i, piece in enumerate(pieces):
                more = i + 1 < len(pieces)
                head = struct.pack("<HHIIIiIII", 70, 0, 32 + len(piece), seq, 0, error, more,
                                   len(piece), 0)
                connection.send(head + piece)
        return self.serve(socket.SOCK_SEQPACKET, handler)

    def test_counters(self):
        text = json.dumps({"counters": [
            {"name": "DROP_OPEN_REPLAY", "value": 7, "fault": True, "help": "seen already"},
            {"name": "DROP_ROUTE_NO_PEER", "value": 0, "fault": False, "help": "no peer"}]})
        pieces = [text[:30].encode(), text[30:].encode()]
        r = run("dp", "show", "counters", "--dp-socket", self.serve_show("counters", pieces))
        lines = r.stdout.splitlines()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(lines[0].split(), ["COUNTER", "VALUE", "FAULT", "MEANING"])
        self.assertEqual(lines[1].split(), ["DROP_OPEN_REPLAY", "7", "!", "seen", "already"])
        self.assertEqual(lines[2].split(), ["DROP_ROUTE_NO_PEER", "0", "no", "peer"])

    def test_unknown_columns_are_shown(self):
        path = self.serve_show("peers", [b'{"peers":[{"id":1,"new":{"a":true}}]}'])
        r = run("dp", "show", "peers", "--dp-socket", path)
        self.assertEqual([line.split() for line in r.stdout.splitlines()],
                         [["ID", "new"], ["1", "a=yes"]])

    def test_filter_mode_stands_beside_the_rules(self):
        path = self.serve_show("rules", [b'{"filter":"allow-all","rules":[]}'])
        r = run("dp", "show", "rules", "--dp-socket", path)
        self.assertEqual(r.stdout, "filter: allow-all\nnone\n")

    def test_ages(self):
        path = self.serve_show("peers", [b'{"peers":[{"last_rx_s":3.2,"last_tx_s":0}]}'])
        lines = run("dp", "show", "peers", "--dp-socket", path).stdout.splitlines()
        self.assertEqual(lines[1].split(), ["3", "s", "ago", "never"])

    def test_json_and_empty(self):
        path = self.serve_show("flows", [b'{"flows":[]}'])
        r = run("dp", "show", "flows", "--json", "--dp-socket", path)
        self.assertEqual(json.loads(r.stdout), {"flows": []})
        os.unlink(path)
        path = self.serve_show("flows", [b'{"flows":[]}'])
        self.assertEqual(run("dp", "show", "flows", "--dp-socket", path).stdout, "none\n")

    def test_refusal_is_failure(self):
        path = self.serve_show("latency", [b"no such table"], error=-2)
        r = run("dp", "show", "latency", "--dp-socket", path)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no such table", r.stderr)


class Import(Folder):
    def import_text(self, text, *more):
        return run("debug", "import", self.write("wg0.conf", text), "--state", self.path("st"),
                   *more)

    def test_whole_file(self):
        text = (INTERFACE + "Address = 10.9.0.1/24,fd09::1/64\nListenPort = 51820\nMTU=1400\n"
                "PostUp = x\n\n# site-b\n" + PEER + f"PresharedKey = CA{KEY}\n"
                "AllowedIPs = 10.2.0.1/24\nEndpoint = [2001:db8::1]:7\nPersistentKeepalive=25\n")
        r = self.import_text(text)
        self.assertEqual(r.returncode, 0, r.stderr)
        for part in ('"addresses": ["10.9.0.1/24", "fd09::1/64"]', '"mtu": 1400',
                     '"name": "site-b"', '"allowed_ips": ["10.2.0.0/24"]', "listen=51820",
                     '"endpoint": "[2001:db8::1]:7"', '"persistent_keepalive": 25', "PostUp"):
            self.assertIn(part, r.stdout)
        self.assertNotIn(f"AA{KEY}", r.stdout + r.stderr)
        self.assertNotIn(f"CA{KEY}", r.stdout + r.stderr)
        for name, letter in (("node.key", "A"), ("psk-site-b.key", "C")):
            path = self.path("st/" + name)
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o600)
            with open(path, encoding="ascii") as f:
                self.assertEqual(f.read(), f"{letter}A{KEY}\n")

    def test_preshared_key_of_zeros_is_none(self):
        r = self.import_text(INTERFACE + PEER + "PresharedKey = " + "A" * 43 + "=\n")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotIn("preshared", r.stdout)

    def test_filter_is_asked_for(self):
        closed = self.import_text(INTERFACE)
        self.assertIn("--allow-all", closed.stderr)
        self.assertNotIn('\n\t"filter"', closed.stdout)
        opened = self.import_text(INTERFACE, "--allow-all")
        self.assertIn('\n\t"filter": "allow-all"', opened.stdout)
        self.assertIn("warning", opened.stderr)

    def test_another_key_is_kept(self):
        self.assertEqual(self.import_text(INTERFACE).returncode, 0)
        self.assertEqual(self.import_text(INTERFACE).returncode, 0)
        other = INTERFACE.replace("AA" + KEY, "EA" + KEY)
        r = self.import_text(other)
        self.assertEqual(r.returncode, 1)
        self.assertIn("node.key", r.stderr)
        with open(self.path("st/node.key"), encoding="ascii") as f:
            self.assertIn("AA" + KEY, f.read())
        self.assertEqual(self.import_text(other, "--force").returncode, 0)

    def test_names(self):
        peers = "".join(comment + f"[Peer]\nPublicKey = {letter}A{KEY}\n" for letter, comment in
                        (("B", "# x\n"), ("C", "# x\n"), ("D", "# not a name\n"), ("E", "")))
        r = self.import_text(INTERFACE + peers + f"[Peer]\n# Name = z\nPublicKey = FA{KEY}\n")
        names = [l.split('"')[3] for l in r.stdout.splitlines() if '"name"' in l]
        self.assertEqual(names, ["x", "peer2", "peer3", "peer4", "z"])

    def test_refusals_name_the_line(self):
        for text, line, part in (
                ("x = 1\n", 1, "before any section"),
                ("[Interfaces]\n", 1, "no section"),
                (INTERFACE + "Adress = 1.2.3.4/8\n", 3, "no setting"),
                (INTERFACE + "PrivateKey = AA\n", 3, "twice"),
                ("[Interface]\nPrivateKey = AA\n", 2, "no key"),
                (INTERFACE + "Address = 1.2.3/8\n", 3, "Address"),
                (INTERFACE + "ListenPort = 65536\n", 3, "65535"),
                (INTERFACE + "MTU = 100\n", 3, "MTU"),
                (INTERFACE + PEER + "Endpoint = vpn.example.net:51820\n", 5, "not resolved"),
                (INTERFACE + PEER + "AllowedIPs = 10.0.0.0/33\n", 5, "AllowedIPs"),
                (INTERFACE + PEER + PEER, 6, "line 3"),
                (INTERFACE + "[Peer]\n", 3, "no PublicKey"),
                (INTERFACE + "garbage\n", 3, "key = value"),
                ("[Interface]\n", 1, "no PrivateKey"),
                (INTERFACE + PEER + f"AllowedIPs = ::/0\n[Peer]\nPublicKey = CA{KEY}\n"
                 "AllowedIPs = ::/0\n", 8, "line 3")):
            r = self.import_text(text)
            self.assertEqual(r.returncode, 1, text)
            self.assertIn(f"wg0.conf:{line}: ", r.stderr, text)
            self.assertIn(part, r.stderr, text)
            self.assertFalse(os.path.exists(self.path("st")), text)


class Policy(Folder):
    bad = '{\n  "grants": [{"src": ["tag:x"], "dst": ["*"], "ip": ["*"]}],\n  "gruops": {}\n}\n'

    def test_check_needs_no_coordinator(self):
        path = self.write("bad.hujson", self.bad)
        r = run("coord", "policy", "check", path)
        self.assertEqual(r.returncode, 1)
        lines = r.stderr.splitlines()
        self.assertEqual(len(lines), 2, r.stderr)
        self.assertTrue(lines[0].startswith(path + ":2:23: "), r.stderr)
        self.assertTrue(lines[1].startswith(path + ":3:3: "), r.stderr)
        self.assertIn("groups", lines[1])
        got = json.loads(run("coord", "--json", "policy", "check", path).stdout)
        self.assertIs(got["ok"], False)
        self.assertEqual([(m["line"], m["column"]) for m in got["messages"]], [(2, 23), (3, 3)])
        good = os.path.join(ROOT, "configs/policy.hujson")
        self.assertEqual(run("coord", "policy", "check", good).returncode, 0)
        got = json.loads(run("coord", "--json", "policy", "check", good).stdout)
        self.assertEqual(got, {"ok": True, "messages": []})
        self.assertEqual(run("coord", "policy", "check", self.path("none")).returncode, 1)
        for words in (["policy"], ["policy", "check"], ["policy", "set"], ["policy", "nope", "x"],
                      ["policy", "set", "--dry-run"]):
            self.assertEqual(run("coord", *words).returncode, 2, words)

    def test_refusals_come_line_by_line(self):
        path = self.write("p.hujson", "{}")
        sock = self.serve_http(http("p.hujson:1:2: one\np.hujson:3:4: tw\x1bo\n",
                                    "400 Bad Request"))
        r = run("coord", "--socket", sock, "policy", "set", path)
        self.assertEqual(r.returncode, 1)
        self.assertEqual(r.stderr, "p.hujson:1:2: one\np.hujson:3:4: tw?o\n")

    def test_warnings_of_what_was_set(self):
        path = self.write("p.hujson", "{}")
        sock = self.serve_http(http('{"id": 4, "warnings": "p.hujson:1:2: warning: odd\\n"}'))
        r = run("coord", "--socket", sock, "policy", "set", path)
        self.assertEqual((r.returncode, r.stdout), (0, "done\n"))
        self.assertEqual(r.stderr, "p.hujson:1:2: warning: odd\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
