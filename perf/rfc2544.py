# SPDX-License-Identifier: Apache-2.0
"""Throughput as RFC 2544 means it: the highest rate that a device carries without loss, found by
halving. A trial is a function of a rate; what it offers and counts is the caller's business."""

LOSS_MAX = 0.00001  # 0.001 %: what is called none


class Trial:
    """What one trial saw: packets sent and received, and how many a second were really sent."""

    def __init__(self, sent, received, rate):
        self.sent, self.received, self.rate = sent, received, rate

    @property
    def loss(self):
        return 1 - self.received / self.sent if self.sent else 1.0


def search(trial, highest, lowest=0, precision=0.02, loss_max=LOSS_MAX, repeat=1, confirm=1):
    """The highest trial without loss, or None when there is none above `lowest`.

    trial(rate) -> Trial. Tries `highest` first; then halves the span between what passed and
    what failed until it is below precision * what passed. A source that cannot send as much as
    it is asked for ends the search upwards at what it did send. A rate that loses is tried
    `repeat` times in all: a machine that stood still for a moment says nothing about the rate.
    The result must pass `confirm` trials in a row; when it does not, the search goes on below."""
    low, best, high = lowest, None, highest
    rate = highest
    while True:
        t = _passes(trial, rate, loss_max, repeat, confirm)
        if t:
            low, best = rate, t
            if rate >= highest or t.rate < rate * (1 - precision):
                return best
        else:
            high = rate
        # Below `precision` of the highest nothing is looked for when nothing has passed.
        if high - low <= precision * (low if best else highest):
            return best
        rate = (low + high) / 2


def _passes(trial, rate, loss_max, repeat, confirm):
    got = None
    for _ in range(confirm):
        for _ in range(repeat):
            got = trial(rate)
            if got.loss <= loss_max:
                break
        else:
            return None
    return got
