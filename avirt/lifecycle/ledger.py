"""What one host's steps write to: records, Changes, effects, timers. Decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from heapq import heappop, heappush
from typing import Final

from avirt.lifecycle.effect import Effect, Now, Probe, Step, WakeAt
from avirt.lifecycle.rules import Entry
from avirt.model.change import Added, Change, Origin, RecordChange, Removed, Renamed
from avirt.model.record import DomainRecord, Key

__all__ = ["Ledger", "Timer"]

TOMBSTONE_AGE: Final = 120.0
"""A read asked before a removal is answered within this time, in seconds, or not at all (reads have 30 s)."""
TOMBSTONES: Final = 10_000
"""More are not kept: a peer that invents domains takes no memory."""


class Timer(Enum):
    """What a timer is for."""

    RENAME = auto()
    REREAD = auto()
    HELD = auto()


class Ledger:
    """The books of one host. Every record that is shown got there by a Change.

    Attributes:
        synced: a complete listing of this connection was applied.
        unread, doubted: domains that an empty listing lacks, still to be read, and being read (`doubt.py`).
        owed: that listing does not count, or not yet.
    """

    __slots__ = (
        "asked",
        "changes",
        "doubted",
        "effects",
        "entries",
        "host",
        "now",
        "owed",
        "records",
        "revision",
        "synced",
        "timers",
        "timers_made",
        "unread",
        "vacant",
    )

    def __init__(self, host: str) -> None:
        self.host = host
        self.revision = 0
        self.synced = False
        self.entries: dict[Key, Entry] = {}
        self.records: dict[Key, DomainRecord] = {}
        self.changes: list[Change] = []
        self.effects: list[Effect] = []
        self.asked: set[Key] = set()
        self.timers: list[tuple[float, int, Timer, Key]] = []
        self.timers_made = 0
        self.vacant: deque[tuple[float, Key]] = deque()
        self.unread: deque[Key] = deque()
        self.doubted: set[Key] = set()
        self.owed = False
        self.now = Now(0.0, 0.0)

    def begin(self, now: Now) -> None:
        """A step begins."""
        self.now = now
        self.changes = []
        self.effects = []
        self.asked.clear()

    def end(self) -> Step:
        """The step's conclusions."""
        return Step(self.changes, self.effects)

    # ------------------------------------------------------------ entries

    def entry(self, key: Key) -> Entry:
        """The entry of a domain, made if there is none."""
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry()
            self._leave_vacant(entry, key)
        return entry

    def restart(self) -> None:
        """A new connection: counts begin anew, tombstones are of no use. Held transitions go on."""
        self.entries = {key: entry for key, entry in self.entries.items() if entry.record is not None}
        self.vacant.clear()
        for entry in self.entries.values():
            entry.restart()

    def clear(self) -> None:
        """Forget every domain."""
        self.entries.clear()
        self.records.clear()
        self.timers.clear()
        self.vacant.clear()

    def _leave_vacant(self, entry: Entry, key: Key) -> None:
        now = self.now.monotonic
        entry.vacant_since = now
        vacant = self.vacant
        while vacant and (vacant[0][0] < now - TOMBSTONE_AGE or len(vacant) >= TOMBSTONES):
            since, old = vacant.popleft()
            other = self.entries.get(old)
            if other is not None and other.record is None and other.vacant_since == since:
                del self.entries[old]
        vacant.append((now, key))

    # ------------------------------------------------------------ Changes

    def change(
        self, kind: type[RecordChange], entry: Entry, before: DomainRecord | None, after: DomainRecord, origin: Origin
    ) -> None:
        """A domain's record changes. `after` carries the revision that comes next."""
        self.revision += 1
        entry.record = self.records[after.key] = after
        make: Callable[..., RecordChange] = kind
        if kind is Renamed and before is not None:
            make = partial(Renamed, old=before.name, new=after.name)
        self.changes.append(
            make(
                host=self.host,
                origin=origin,
                observed_at=after.observed_at,
                revision=self.revision,
                key=after.key,
                name=after.name,
                before=before,
                after=after,
            )
        )

    def add(self, entry: Entry, after: DomainRecord, origin: Origin) -> None:
        """A domain comes into sight."""
        entry.removed = False
        self.change(Added, entry, None, after, origin)

    def remove(self, entry: Entry, before: DomainRecord, origin: Origin) -> None:
        """A domain is gone; its entry stays as a tombstone."""
        self.revision += 1
        entry.bury()
        del self.records[before.key]
        self._leave_vacant(entry, before.key)
        self.changes.append(
            Removed(
                host=self.host,
                origin=origin,
                observed_at=self.now.wall,
                revision=self.revision,
                key=before.key,
                name=before.name,
                before=before,
            )
        )

    # ------------------------------------------------------------ effects

    def probe(self, key: Key) -> None:
        """Ask for a read of a domain; in one step, once is enough."""
        if key not in self.asked:
            self.asked.add(key)
            self.effects.append(Probe(key))

    def wake_at(self, at: float, what: Timer, key: Key) -> None:
        """Ask to be woken."""
        self.timers_made += 1
        heappush(self.timers, (at, self.timers_made, what, key))
        self.effects.append(WakeAt(at))

    def next_due(self) -> tuple[float, Timer, Key] | None:
        """A timer that is due, taken out."""
        timers = self.timers
        if timers and timers[0][0] <= self.now.monotonic:
            at, _, what, key = heappop(timers)
            return at, what, key
        return None
