"""Settling: each domain's changes are held back until it has been quiet for a while, then given as one. Pure.

Time comes in as an argument, or by the clock that a `SettlingCursor` is given. The rules:

- A domain that was quiet for `settle` seconds is given as one change (`fold.py` says which); one that is never quiet is
  given every `LATEST` times as long.
- Order holds for each domain: a folded change stands where its last change stood, and the domain's other events keep
  their places before and after it. Domains among each other come in the order in which they settled, so `seq` rises
  for each domain, not over all.
- A change of a host comes after all that was held back of that host, at once; so does a Gap after all.
- No more than `HELD` are held back: those that have been quiet for longest are given early.

Quiet is what the reader has heard nothing of: time counts from when a change was read. A reader that fell behind has
read all there is before a domain counts as quiet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from avirt.errors import SlowSubscriber
from avirt.events.cursor import SCAN, Cursor, Statistics
from avirt.events.filters import Filter
from avirt.events.fold import Fold, Wants
from avirt.model.change import Change, DomainChange, Gap, HostChange, RecordChange
from avirt.model.record import Key

__all__ = ["HELD", "LATEST", "Settler", "SettlingCursor"]

LATEST: Final = 10
"""Times `settle`."""
HELD: Final = 10_000
"""Changes held back for one reader: 10 MB or so."""


class _Held:
    """What is held back of one domain; or one item by itself, without a fold.

    Attributes:
        place: all up to this seq had been read before it.
        since, last: when its first change was read, and its last one.
        earlier, later: other events, before and after the fold's last change.
        settled: it waits for its turn only.
    """

    __slots__ = ("earlier", "fold", "last", "later", "place", "settled", "since")

    def __init__(self, place: int, now: float, item: Change | Gap) -> None:
        self.place = place
        self.since = self.last = now
        self.settled = False
        self.fold = Fold(item) if isinstance(item, RecordChange) else None
        self.earlier: list[Change | Gap] = [] if self.fold is not None else [item]
        self.later: list[Change | Gap] = []

    def add(self, change: RecordChange, now: float) -> None:
        """One more change of the domain's record."""
        assert self.fold is not None
        self.fold.add(change)
        self.last = now
        self.earlier += self.later
        self.later = []

    def __len__(self) -> int:
        return (self.fold is not None) + len(self.earlier) + len(self.later)


class Settler:
    """Holds back, folds and lets go.

    Args:
        settle: seconds.
        filter: what is wanted of what has settled. What comes in has passed its `before_settling`.
    """

    def __init__(self, settle: float, filter: Filter) -> None:
        self.settle = settle
        self._latest = settle * LATEST
        self._match = filter.compile()
        self._wants = _wants(filter)
        self._moving: dict[tuple[str, Key], _Held] = {}  # in order of the last change
        self._open: dict[_Held, None] = {}  # all that is not given yet, in order of place
        self._turn: deque[_Held] = deque()  # those of them that are settled
        self._parts: deque[Change | Gap] = deque()
        self._giving: _Held | None = None
        self._size = 0
        self.folded = 0
        """Changes that became part of another one."""

    @property
    def place(self) -> int | None:
        """All up to here was given; None if all that was read was."""
        return next(iter(self._open)).place if self._open else None

    @property
    def due(self) -> float | None:
        """When something settles if nothing more is read."""
        if not self._moving:
            return None
        quiet = next(iter(self._moving.values())).last + self.settle
        oldest = next(iter(self._open))
        return quiet if oldest.settled else min(quiet, oldest.since + self._latest)

    @property
    def is_ready(self) -> bool:
        """There is something for `take`."""
        return bool(self._turn or self._parts)

    def add(self, item: Change | Gap, place: int, now: float) -> None:
        """The next item of the stream."""
        if isinstance(item, RecordChange):
            domain = _domain(item)
            held = self._moving.pop(domain, None)
            if held is None:
                held = self._hold(item, place, now)
            else:
                held.add(item, now)
            self._moving[domain] = held
        elif isinstance(item, DomainChange):
            held = self._moving.get(_domain(item))
            if held is None:
                self._let_go(self._hold(item, place, now))
            else:
                held.later.append(item)
                self._size += 1
        else:
            self._release(item.host if isinstance(item, HostChange) else None)
            self._let_go(self._hold(item, place, now))
        while self._size > HELD and self._moving:
            self._let_go(self._moving.pop(next(iter(self._moving))))

    def expire(self, now: float, *, quiet: bool = True) -> None:
        """What has settled is ready. `quiet` False: only what was held back for too long."""
        moving = self._moving
        while quiet and moving:
            domain, held = next(iter(moving.items()))
            if held.last + self.settle > now:
                break
            self._let_go(moving.pop(domain))
        for held in self._open:
            if held.since + self._latest > now:
                break
            if not held.settled and held.fold is not None:
                self._let_go(moving.pop(_domain(held.fold.last)))

    def release(self) -> None:
        """Nothing more comes: all is ready."""
        self._release(None)

    def take(self, limit: int) -> list[Change | Gap]:
        """Up to `limit` of what is ready, in order."""
        out: list[Change | Gap] = []
        parts = self._parts
        while len(out) < limit and (parts or self._turn):
            if not parts:
                self._giving = self._turn.popleft()
                parts.extend(self._outcome(self._giving))
            if parts:
                out.append(parts.popleft())
            if not parts and self._giving is not None:
                del self._open[self._giving]
                self._giving = None
        return out

    def _hold(self, item: Change | Gap, place: int, now: float) -> _Held:
        held = _Held(place, now, item)
        self._open[held] = None
        self._size += 1
        return held

    def _release(self, host: str | None) -> None:
        for domain in [domain for domain in self._moving if host is None or domain[0] == host]:
            self._let_go(self._moving.pop(domain))

    def _let_go(self, held: _Held) -> None:
        held.settled = True
        self._size -= len(held)
        self._turn.append(held)

    def _outcome(self, held: _Held) -> Sequence[Change | Gap]:
        if held.fold is None:
            return held.earlier
        one = held.fold.one(self._wants)
        if one is None or (self._match is not None and not self._match(one)):
            return [*held.earlier, *held.later]
        self.folded += held.fold.items - 1
        return [*held.earlier, one, *held.later]


def _domain(change: DomainChange) -> tuple[str, Key]:
    return change.host, change.key


def _wants(filter: Filter) -> Wants:
    kinds = filter.kinds
    if kinds is None:
        return lambda _kind: True
    asked = tuple(kinds)
    return lambda kind: issubclass(kind, asked)


class SettlingCursor:
    """A cursor on what has settled. Reads as `Cursor` does.

    Args:
        cursor: where to read from; its filter is `filter.before_settling`.
        clock: monotonic seconds.
    """

    def __init__(self, cursor: Cursor, *, settle: float, filter: Filter, clock: Callable[[], float]) -> None:
        self._cursor = cursor
        self._settler = Settler(settle, filter)
        self._clock = clock
        self._given = 0
        self._failed: SlowSubscriber | None = None
        self.filter = filter
        self.slow = cursor.slow
        self.on_ring = False
        """Items are not those of the ring: one is read at a time."""

    @property
    def seq(self) -> int:
        """Everything up to here was given, or skipped."""
        place = self._settler.place
        return self._cursor.seq if place is None else place

    @property
    def due(self) -> float | None:
        """When to look again, if nothing new comes."""
        return self._settler.due

    @property
    def behind(self) -> bool:
        """There is something to look at now."""
        settler = self._settler
        if self._cursor.behind or settler.is_ready or self._failed is not None:
            return True
        due = settler.due
        return due is not None and (self._cursor.ended or due <= self._clock())

    @property
    def statistics(self) -> Statistics:
        """What became of its changes."""
        return replace(self._cursor.statistics, given=self._given, folded=self._settler.folded)

    def ahead(self, _count: int) -> Sequence[Change]:
        """Nothing is to be had as it is."""
        return ()

    def unread(self, count: int, seq: int) -> None:
        """One is read at a time, so none is given back."""

    def read(self, limit: int, *, scan: int = SCAN) -> list[Change | Gap]:
        """Up to `limit` of what has settled, after looking at no more than `scan` changes.

        Raises:
            SlowSubscriber: it fell behind, and asked for that; what was held back is given before.
        """
        settler = self._settler
        out = settler.take(limit)
        if not out:
            self._read_on(scan)
            out = settler.take(limit)
        if not out and self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        self._given += len(out)
        return out

    def _read_on(self, scan: int) -> None:
        cursor, settler = self._cursor, self._settler
        now = self._clock()
        if self._failed is None and cursor.behind:
            place = cursor.seq
            try:
                items = cursor.read(scan, scan=scan)
            except SlowSubscriber as error:
                self._failed = error
                settler.release()
                return
            for item in items:
                # a Gap is about what is before it
                settler.add(item, place if isinstance(item, Gap) else item.seq - 1, now)
        if cursor.ended:
            settler.release()
        else:
            settler.expire(now, quiet=not cursor.behind)
