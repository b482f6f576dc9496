# SPDX-License-Identifier: Apache-2.0
"""Rest: what the daemons take when nothing happens."""

import time

from cases import check
from flows import Udp


def idle(st):
    """Daemons under 5 % of a core, and busy cycles that mean work."""
    s = st.s

    def cycles():
        rows = st.nodes[1].show("workers")
        rows = rows["workers"] if isinstance(rows, dict) else rows
        return sum(r["busy_cycles"] for r in rows), sum(r["idle_cycles"] for r in rows)

    def share(before):
        after = cycles()
        busy, rest = (y - x for x, y in zip(before, after))
        check(busy + rest > 0, "no cycles counted")
        return 100.0 * busy / (busy + rest)

    time.sleep(1.5)
    used, at, c = {n: x.cpu_ns() for n, x in st.nodes.items()}, time.monotonic(), cycles()
    time.sleep(5)
    span = time.monotonic() - at
    pct = {n: (x.cpu_ns() - used[n]) / span / 1e7 for n, x in st.nodes.items()}
    resting = share(c)
    check(max(pct.values()) < 5, "%s %% of a core when idle" % pct)
    c = cycles()
    Udp(st.lab, (s[1].host, s[1].host4), (s[2].host, s[2].host4), rate=20000, seconds=1.5).wait()
    working = share(c)
    check(resting < 5 and working > 2 * resting, "busy %.1f %% idle, %.1f %% under load" %
          (resting, working))
    return "%.2f %% of a core; busy %.2f %%, %.1f %% under load" % (max(pct.values()), resting,
                                                                   working)
