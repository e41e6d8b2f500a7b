"""Runs: which numbers of a journal were used. Pure.

A run is what one process numbered: `first` + 1 to `last`, without holes. A run that did not end in order is followed by
a hole, the block that it had reserved: numbers in it may have been given to readers, and are on no disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

import msgspec

__all__ = ["BLOCK", "Run", "Runs"]

BLOCK: Final = 1_000_000
"""How many numbers are reserved beyond the last one on disk. So many are never given before the disk has caught up: a
backlog that could come so far has the journal given up long before. Few enough for JSON's 53 bits to last for ever."""

_FIRST: Final = attrgetter("first")


class Run(msgspec.Struct, frozen=True, gc=False):
    """Numbers `first` + 1 to `last`; none if they are equal."""

    first: int
    last: int


class Runs:
    """All runs of a journal, in order.

    Attributes:
        last: the number of the last change; settable: it belongs to the last run.
        pruned: changes up to this number are not kept any more.
    """

    def __init__(self, runs: Iterable[Run] = (), *, pruned: int = 0) -> None:
        self._runs = tuple(runs) or (Run(0, 0),)
        self.pruned = pruned
        self.last = self._runs[-1].last

    @classmethod
    def kept_from(cls, runs: Sequence[Run], oldest: int | None) -> Runs:
        """Those of a journal whose oldest change is this one, or that has none."""
        before = runs[-1].last if oldest is None and runs else (oldest or 1) - 1
        # what was used before the oldest was removed; a run without changes had nothing to remove
        ends = [min(run.last, before) for run in runs if run.first < min(run.last, before)]
        return cls(runs, pruned=max(ends, default=0))

    @property
    def all(self) -> Sequence[Run]:
        """As they were read: `last` is newer than what the last of them says."""
        return self._runs

    @property
    def oldest(self) -> int:
        """The smallest number from which on all are kept."""
        return self.pruned + 1

    def refusal(self, seq: int) -> str:
        """Why a token of this number can't be resumed from, or ""."""
        if seq > self.last:
            return "ahead"
        run = self._run(seq)
        if run is None or seq < self.pruned:
            return "pruned"
        return "ahead" if seq > self._end(run) else ""

    def start(self, seq: int) -> int:
        """The same place, beyond the numbers after it that were never used."""
        run = self._run(seq)
        while run is not None and seq >= self._end(run) and run is not self._runs[-1]:
            run = self._runs[self._runs.index(run) + 1]
            seq = run.first
        return seq

    def count(self, after: int, until: int) -> int:
        """How many numbers in `after` + 1 … `until` were used."""
        return sum(max(0, min(until, self._end(run)) - max(after, run.first)) for run in self._runs)

    def _end(self, run: Run) -> int:
        return self.last if run is self._runs[-1] else run.last

    def _run(self, seq: int) -> Run | None:
        """The one that the number belongs to, or that the hole belongs to in which it is."""
        place = bisect_right(self._runs, seq, key=_FIRST)
        return self._runs[place - 1] if place else None
