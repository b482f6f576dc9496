#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that docs/mesh.md works: its commands are typed as they stand there, in the order of the
page, each on the host that its prompt names; then the laptop reaches the site's host."""

import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from cases import check, main  # noqa: E402
from netns import ROOT, Lab, wait_for  # noqa: E402
from nodes import Causeway, foreign  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "mesh.md")


class Page:
    """The hosts of the page, and what is typed there. Each host has its own name, and
    its own /var/lib, /etc/causeway and /run, as machines have."""

    def __init__(self, lab):
        self.lab = lab
        self.inet = lab.ns("inet")
        self.inet.ip("link add br0 type bridge", "link set br0 up")
        self.hosts = {name: self.host(name, n) for n, name in
                      enumerate(("hub", "gateway", "laptop"), 1)}
        gateway = self.hosts["gateway"]
        self.site = lab.ns("site")
        lab.veth(gateway, "eth1", self.site, "eth0")
        gateway.ip("addr add 10.1.0.1/24 dev eth1")
        gateway.sysctl("net.ipv4.ip_forward", 1)
        self.site.ip("addr add 10.1.0.2/24 dev eth0")
        self.key, self.started = None, 0
        self.bin = lab.path("bin")
        os.mkdir(self.bin)
        for name in ("causeway", "causewayd", "causeway-dp", "causeway-coord", "causeway-derp"):
            os.symlink(Causeway.program(name), os.path.join(self.bin, name))
        os.symlink(foreign("tailscale"), os.path.join(self.bin, "tailscale"))

    def host(self, name, n):
        ns = self.lab.ns(name)
        self.lab.veth(self.inet, "p%d" % n, ns, "eth0")
        self.inet.ip("link set p%d master br0" % n)
        ns.ip("addr add 10.0.0.%d/24 dev eth0" % n)
        return ns

    def own_files(self, name):
        """A mount namespace's beginning: folders of this host alone in the usual places."""
        folder = self.lab.path("root-" + name)
        steps = []
        for at in ("/var/lib", "/etc/causeway", "/run/causeway", "/run/tailscale"):
            mine = folder + at
            os.makedirs(mine, mode=0o755, exist_ok=True)
            steps.append("mkdir -p %s && mount --bind %s %s" % (at, mine, at))
        return "; ".join(steps)

    def argv(self, name, command):
        script = "hostname %s; %s; cd %s; PATH=%s:$PATH; %s" % (
            name, self.own_files(name), self.lab.path("root-" + name), self.bin, command)
        return ["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-c", script]

    def type(self, name, command):
        if self.key:
            command = command.replace("KEY", self.key)
        ns = self.hosts[name]
        if command.endswith("&"):
            self.started += 1
            proc = ns.start("%s-%d" % (name, self.started),
                            self.argv(name, "exec " + command[:-1]))
            # A person would see it start.
            wait_for(lambda: re.search(r"daemon\.start|dp\.ready|Program starting", proc.log())
                     or not proc.running(), 20, command)
            time.sleep(1)
            check(proc.running(), "%s ended: %s" % (command, proc.log()))
            return ""
        p = subprocess.run(["ip", "netns", "exec", ns.name] + self.argv(name, command),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        check(p.returncode == 0, "%s: exit %d: %s %s" % (command, p.returncode, p.stdout,
                                                        p.stderr))
        found = re.search(r"tskey-auth-\S+|\b[0-9a-f]{48,}\b", p.stdout)
        if "keys create" in command:
            check(found, "no key in: %s" % p.stdout)
            self.key = found.group(0)
        return p.stdout


def mesh_in_five_commands():
    with open(PAGE) as f:
        text = f.read()
    blocks = re.findall(r"```(json|console)\n(.*?)```", text, re.S)
    with Lab(name="readme") as lab:
        page = Page(lab)
        page.own_files("hub")
        page.type("laptop", "%s --state=mem: --tun=ts0 --port=41641 &" % foreign("tailscaled"))
        said = {}
        for kind, body in blocks:
            if kind == "json":
                with open(os.path.join(lab.path("root-hub"), "policy.hujson"), "w") as f:
                    f.write(body)
                continue
            for host, command in re.findall(r"^(\w+)# (.*)$", body, re.M):
                said[command] = page.type(host, command.replace(
                    "tailscale up", "tailscale up --accept-dns=false"))
        for command in ("causeway status", "tailscale status", "causeway coord nodes list"):
            check("gateway" in said[command] or "laptop" in said[command],
                  "%s: %s" % (command, said[command]))
        check("pong from laptop" in said["causeway ping laptop"], said["causeway ping laptop"])
        laptop = page.hosts["laptop"]
        wait_for(lambda: laptop.sh("ping", "-n", "-c", "1", "-W", "1", "10.1.0.2",
                                   check=False).returncode == 0, 15,
                 "the laptop to reach the site's host")
        return "%d commands" % len(said)


if __name__ == "__main__":
    sys.exit(main([[("mesh-in-five-commands", mesh_in_five_commands)]], __doc__))
