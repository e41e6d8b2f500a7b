"""Cursor: one reader's place in a store's stream, and what it reads there. Pure.

A cursor is a number and a filter: it holds no change, and costs the same however far it is behind. What it skips when
it falls behind the ring follows its policy (`policies.py`). A reader that coalesces holds a `Walk` while it catches up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge as merge_sorted
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from avirt.errors import SlowSubscriber
from avirt.events.policies import Latest, Slow, What, merge
from avirt.model.change import Change, Gap

if TYPE_CHECKING:
    from avirt.events.filters import Filter
    from avirt.events.store import Store

__all__ = ["SCAN", "Cursor", "Statistics", "Walk"]

_SEQ: Final = attrgetter("seq")

_SLICE: Final = 64
"""How many changes are taken out of the ring at once for a filter to look at."""

SCAN: Final = 512
"""How many changes are looked at between two turns of the loop."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a subscription's changes.

    Attributes:
        given: changes and gaps handed out.
        lost: changes that it was told it lost (Slow.GAP, Slow.DISCONNECT).
        coalesced: changes that were skipped by merging (Slow.COALESCE).
        folded: changes that became part of another one by settling.
    """

    given: int = 0
    lost: int = 0
    coalesced: int = 0
    folded: int = 0


class Walk:
    """The latest of every domain and host after a seq, as of another, still to be read.

    Attributes:
        until: the other seq.
        dropped: what was left has been given up for the sake of memory.
    """

    __slots__ = ("_left", "_merged", "dropped", "until")

    def __init__(self, lists: Sequence[list[Latest[What]]], *, after: int, until: int) -> None:
        """The lists are each in order of seq; they are the walk's from here on."""
        self._left = 0
        self.until = until
        self.dropped = False
        for entries in lists:
            del entries[: bisect_right(entries, after, key=_SEQ)]
            self._left += len(entries)
        # lazily: sorting a hundred thousand at once would hold the loop
        self._merged: Iterator[Latest[What]] = merge_sorted(*lists, key=_SEQ)

    def __len__(self) -> int:
        """How many are left."""
        return self._left

    def take(self, count: int) -> list[Latest[What]]:
        """The next ones."""
        taken = list(islice(self._merged, count))
        self._left -= len(taken)
        return taken

    def drop(self) -> None:
        """Give up what is left."""
        self._left = 0
        self._merged = iter(())
        self.dropped = True


class Cursor:
    """Reads a store's stream from a seq on.

    Attributes:
        seq: everything up to here was given, or skipped.
        filter, slow: as asked for.
    """

    __slots__ = (
        "_coalesced",
        "_given",
        "_lost",
        "_match",
        "_seen",
        "_store",
        "_time",
        "_view",
        "_walk",
        "filter",
        "seq",
        "slow",
    )

    def __init__(self, store: Store, *, seq: int, filter: Filter, slow: Slow) -> None:
        self._store = store
        self._match = filter.compile()
        self._walk: Walk | None = None
        # while it walks: its view is that of the first, but for domains that it got as they were at the second
        self._view = self._seen = seq
        window = store.window
        self._time = window[seq].observed_at if window.oldest <= seq <= window.head else 0.0
        self._given = self._lost = self._coalesced = 0
        self.seq = seq
        self.filter = filter
        self.slow = slow

    @property
    def lag(self) -> int:
        """How many changes of the store it has not looked at."""
        return self._store.window.head - self.seq

    @property
    def behind(self) -> bool:
        """There is something to look at."""
        return self._walk is not None or self.seq < self._store.window.head

    @property
    def ended(self) -> bool:
        """No change comes any more."""
        return self._store.closed

    @property
    def statistics(self) -> Statistics:
        """What became of its changes."""
        return Statistics(given=self._given, lost=self._lost, coalesced=self._coalesced)

    @property
    def on_ring(self) -> bool:
        """The next to be read is a single change of the ring: nothing was skipped, and nothing is merged."""
        return self._walk is None and self.seq + 1 >= self._store.window.oldest

    def ahead(self, count: int) -> Sequence[Change]:
        """What is wanted of the next `count` changes, if the ring has them as they are; else `read` has to look."""
        window = self._store.window
        first = self.seq + 1
        if first > window.head or first < window.oldest or self._walk is not None:
            return ()
        changes = window.slice(first, count)
        self.seq += len(changes)
        self._time = changes[-1].observed_at
        match = self._match
        if match is not None:
            changes = [change for change in changes if match(change)]
        self._given += len(changes)
        return changes

    def moved(self, seq: int, given: int, time: float) -> None:
        """Everything up to `seq`, which was seen at `time`, came another way; so many of it were given."""
        self.seq = seq
        self._given += given
        self._time = time

    def missed(self, seq: int, lost: int) -> Gap:
        """So many changes up to `seq` can't be had any more."""
        self._lost += lost
        self._given += 1
        self.seq = seq
        return Gap(lost=lost, since=self._time, seq=seq)

    def unread(self, count: int, seq: int) -> None:
        """The last `count` of the ring were not given after all: everything up to `seq` was."""
        self._given -= count
        self.seq = seq

    def read(self, limit: int, *, scan: int = SCAN) -> list[Change | Gap]:
        """Up to `limit` of what comes next, after looking at no more than `scan` changes.

        An empty answer means the end of the stream only if `behind` is false.

        Raises:
            SlowSubscriber: it fell behind, and asked for that. It goes on with the oldest change kept.
        """
        out: list[Change | Gap] = []
        store = self._store
        window = store.window
        while len(out) < limit and scan > 0:
            room = limit - len(out)
            if self._walk is not None:
                scan -= self._read_walk(self._walk, min(room, scan), out)
            elif self.seq >= window.head:
                break
            elif self.seq + 1 < window.oldest:
                self._fall_behind(out)
                scan -= 1
            else:
                scan -= self._read_ring(room, scan, out)
        self._given += len(out)
        return out

    def _read_ring(self, room: int, scan: int, out: list[Change | Gap]) -> int:
        """Returns how many it looked at."""
        match = self._match
        if match is None:
            changes = self._store.window.slice(self.seq + 1, min(room, scan))
            looked = len(changes)
            out += changes
        else:
            changes = self._store.window.slice(self.seq + 1, min(_SLICE, scan))
            looked = 0
            for change in changes:
                looked += 1
                if match(change):
                    out.append(change)
                    room -= 1
                    if not room:
                        break
        self.seq += looked
        self._time = changes[looked - 1].observed_at
        return looked

    def _fall_behind(self, out: list[Change | Gap]) -> None:
        """The next change is pruned: what the policy says."""
        if self.slow is Slow.COALESCE:
            self._view = self._seen = self.seq
            self._start_walk(out)
            return
        kept = self._store.window.oldest - 1
        lost = kept - self.seq
        self._lost += lost
        self.seq = kept
        if self.slow is Slow.DISCONNECT:
            raise SlowSubscriber(lost=lost)
        out.append(Gap(lost=lost, since=self._time, seq=kept))

    def _start_walk(self, out: list[Change | Gap]) -> None:
        """Go through the latest of what changed instead of all that changed."""
        store = self._store
        told = self._seen
        head = store.window.head
        reset = self.seq < store.horizon
        if (
            reset
            or (self.filter.wants_steps and head > told)
            or (self.filter.wants_others and store.others_since(told, self.filter))
        ):
            out.append(Gap(lost=head - told, since=self._time, seq=head, reset=reset))
        if reset:
            self._view = self._seen = -1
        self._walk = store.walk(-1 if reset else self.seq)
        self._coalesced += head - told

    def _read_walk(self, walk: Walk, count: int, out: list[Change | Gap]) -> int:
        """Returns how many it looked at."""
        if walk.dropped:
            self._seen = max(self._seen, walk.until)
            self._start_walk(out)
            return 1
        match = self._match
        entries = walk.take(count)
        for latest in entries:
            change = merge(latest, since=self._view, seen=self._seen)
            if change is not None and (match is None or match(change)):
                out.append(change)
        if len(walk):
            self.seq = entries[-1].seq
            return len(entries)
        self._walk = None
        self.seq = walk.until
        window = self._store.window
        if self.seq >= window.oldest:
            self._time = window[self.seq].observed_at
        return len(entries) + 1
