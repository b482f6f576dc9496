# SPDX-License-Identifier: Apache-2.0
"""A topology that several cases of the router share, built when the first of them runs."""

import threading

from cases import check
from netns import Lab, LabError
from nodes import Causeway
from topology import Sites

FAMILIES = (4, 6)


class Stage:
    """A topology that several cases share."""

    def __init__(self, port, build):
        self.port, self.build = port, build
        self.lock = threading.Lock()
        self.lab = self.error = None
        self.left = 0

    def case(self, name, fn):
        self.left += 1

        def go():
            with self.lock:
                try:
                    self.enter()
                    note = fn(self)
                    self.check_alive()
                    return note
                finally:
                    self.left -= 1
                    if not self.left and self.lab:
                        self.lab.close()
        return "%s-%s" % (name, self.port), go

    def enter(self):
        if self.error:
            raise LabError("the topology of this case: %s" % self.error)
        if self.lab:
            return
        Causeway.require()
        self.lab = Lab(name="router")
        try:
            self.build(self)
            for n in self.nodes.values():
                n.start()
            for a, b in self.reach:
                for family in FAMILIES:
                    self.s[a].host.wait_ping(self.s[b].host_addr(family), 15)
        except Exception as e:
            self.error = e
            if isinstance(e, LabError) and hasattr(self, "nodes"):
                raise LabError("%s\n%s" % (e, "\n".join(n.logs() for n in self.nodes.values())))
            raise

    def check_alive(self):
        for n in self.nodes.values():
            check(n.alive(), "%s: a program ended\n%s" % (n.site.name, n.logs()))

    def sites(self, count):
        every = range(1, count + 1)
        xdp = {"xdp": every, "mixed": (2,)}.get(self.port, ())
        self.s = Sites(self.lab, count, xdp=xdp, dpdk=every if self.port == "dpdk" else ())
        return self.s

    def node(self, n, **kw):
        kw.setdefault("port_kind", self.port)
        return Causeway(self.lab, self.s[n], **kw)
