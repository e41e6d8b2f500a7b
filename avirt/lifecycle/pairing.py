"""Conclusions over several hosts: a migration, two running copies of one domain, one host watched twice. Pure.

Fed with the Changes of all hosts, in the order of the store. What it concludes is no step of any one host: the
Changes it gives have revision 0 and origin `inferred`.

A migration has two halves. The source's is SHUTOFF(migrated) after it was active; the target's is the domain active
there, and no longer waiting for its memory: PAUSED(migration) is not that yet. Either may come first. A source that
was SUSPENDED for its migration and then RESUMED never stopped, so there is no half: the migration failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

import msgspec

from avirt.lifecycle.effect import Effect, Now, Step, WakeAt
from avirt.model.change import (
    Change,
    DuplicateHost,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Migrated,
    Origin,
    RecordChange,
    SplitBrain,
)
from avirt.model.record import DomainRecord, Key
from avirt.model.state import DomainState, PausedReason, ShutoffReason

__all__ = ["Pairing"]

SPLIT_AFTER: Final = 30.0
"""Two copies that run for so long, in seconds, on live hosts are no hand-over any more."""
HALVES_WITHIN: Final = 300.0
"""A target that comes into sight later than this after its source stopped was not this migration's."""

_NIL: Final = UUID(int=0)


class _Host:
    """What is known of one host.

    Attributes:
        live: connected and listed.
        second: another name of a host that is watched already: it takes no part.
        told: the names it was said to be a duplicate of.
    """

    __slots__ = ("live", "second", "told", "uuid")

    def __init__(self) -> None:
        self.live = False
        self.second = False
        self.told: set[str] = set()
        self.uuid: UUID | None = None


class _Copy(msgspec.Struct, frozen=True, gc=False):
    """An active domain on one host."""

    host: str
    running: bool
    incoming: bool


class Pairing:
    """What is known of the domains that are active on any host.

    Args:
        aliases: names of hosts that are another view of a host (ESX beside its vCenter) → that host's name.
    """

    def __init__(self, *, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = dict(aliases or {})
        self._hosts: dict[str, _Host] = {}
        self._copies: dict[Key, tuple[_Copy, ...]] = {}
        self._left: dict[Key, tuple[str, float]] = {}
        self._double: dict[Key, float | None] = {}
        self._split: set[Key] = set()
        self._due: list[tuple[float, Key]] = []
        self._names: dict[Key, str] = {}
        self._changes: list[Change] = []
        self._effects: list[Effect] = []

    def step(self, change: Change, now: Now) -> Step:
        """Take one Change of any host."""
        self._changes, self._effects = [], []
        if isinstance(change, RecordChange):
            if not self._takes_part(change.host, change.key):
                pass
            elif change.after is not None and change.after.active:
                self._active(change, change.after, now)
            else:
                self._inactive(change, change.after, now)
        elif isinstance(change, HostConnected):
            self._connected(change, now)
        elif isinstance(change, HostResynced):
            self._set_live(change.host, live=True, now=now)
        elif isinstance(change, HostLost):
            self._set_live(change.host, live=False, now=now)
        elif isinstance(change, HostReplaced):
            self._drop_copies(change.host, now)
        return Step(self._changes, self._effects)

    def forget(self, host: str, now: Now) -> Step:
        """A host is no longer watched."""
        self._changes, self._effects = [], []
        self._hosts.pop(host, None)
        self._drop_copies(host, now)
        return Step(self._changes, self._effects)

    def wake(self, now: Now) -> Step:
        """A WakeAt came due."""
        self._changes, self._effects = [], []
        while self._due and self._due[0][0] <= now.monotonic:
            _, key = heappop(self._due)
            since = self._double.get(key)
            if since is not None and since + SPLIT_AFTER <= now.monotonic and key not in self._split:
                self._split.add(key)
                hosts = tuple(copy.host for copy in self._copies[key] if self._counts(copy))
                self._changes.append(
                    SplitBrain(
                        host=hosts[-1],
                        origin=Origin.INFERRED,
                        observed_at=now.wall,
                        key=key,
                        name=self._names[key],
                        hosts=hosts,
                    )
                )
        return Step(self._changes, self._effects)

    # ------------------------------------------------------------ hosts

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host()
        return host

    def _takes_part(self, host: str, key: Key) -> bool:
        return any(key) and not self._host(host).second

    def _connected(self, change: HostConnected, now: Now) -> None:
        self._set_live(change.host, live=False, now=now)
        host = self._host(change.host)
        host.uuid = change.facts.uuid
        host.second = change.host in self._aliases
        if host.second or host.uuid == _NIL:
            return
        for name, other in self._hosts.items():
            if other is not host and other.uuid == host.uuid and not other.second:
                host.second = True
                if name not in host.told:
                    host.told.add(name)
                    self._changes.append(
                        DuplicateHost(host=change.host, origin=Origin.INFERRED, observed_at=now.wall, other=name)
                    )
        if host.second:
            self._drop_copies(change.host, now)

    def _set_live(self, name: str, *, live: bool, now: Now) -> None:
        self._host(name).live = live
        for key in list(self._double):
            self._count(key, now)

    def _drop_copies(self, host: str, now: Now) -> None:
        for key in [key for key, copies in self._copies.items() if any(copy.host == host for copy in copies)]:
            self._keep(key, tuple(copy for copy in self._copies[key] if copy.host != host), now)
        for key in [key for key, (source, _) in self._left.items() if source == host]:
            del self._left[key]

    # ------------------------------------------------------------ copies

    def _active(self, change: RecordChange, after: DomainRecord, now: Now) -> None:
        key = change.key
        incoming = after.state == DomainState.PAUSED and after.reason is PausedReason.MIGRATION
        copy = _Copy(change.host, after.state == DomainState.RUNNING, incoming)
        others = self._copies.get(key, ())
        if copy in others:
            return
        if all(other.host != copy.host for other in others):
            copies = (*others, copy)
        else:
            copies = tuple(copy if other.host == copy.host else other for other in others)
        self._keep(key, copies, now, change.name)
        left = self._left.get(key)
        if left is None:
            return
        source, at = left
        if source == copy.host or now.monotonic - at > HALVES_WITHIN:
            del self._left[key]
        elif not incoming:
            self._migrated(key, change.name, source, copy.host, now)

    def _inactive(self, change: RecordChange, after: DomainRecord | None, now: Now) -> None:
        key = change.key
        others = self._copies.get(key, ())
        copies = tuple(copy for copy in others if copy.host != change.host)
        if len(copies) == len(others):
            return
        self._keep(key, copies, now)
        if after is None or after.reason is not ShutoffReason.MIGRATED:
            return
        self._left.pop(key, None)
        self._left[key] = (change.host, now.monotonic)
        while now.monotonic - next(iter(self._left.values()))[1] > HALVES_WITHIN:
            del self._left[next(iter(self._left))]
        target = next((copy for copy in reversed(copies) if not copy.incoming), None)
        if target is not None:
            self._migrated(key, change.name, change.host, target.host, now)

    def _migrated(self, key: Key, name: str, source: str, target: str, now: Now) -> None:
        del self._left[key]
        self._changes.append(
            Migrated(
                host=target,
                origin=Origin.INFERRED,
                observed_at=now.wall,
                key=key,
                name=name,
                source=source,
                target=target,
            )
        )

    def _keep(self, key: Key, copies: tuple[_Copy, ...], now: Now, name: str = "") -> None:
        if copies:
            self._copies[key] = copies
        else:
            self._copies.pop(key, None)
        if len(copies) > 1:
            self._double.setdefault(key, None)
            self._names[key] = name or self._names[key]
        if key in self._double:
            self._count(key, now)

    def _counts(self, copy: _Copy) -> bool:
        return copy.running and self._host(copy.host).live

    def _count(self, key: Key, now: Now) -> None:
        """Begin, go on, or end the time for which more than one copy runs."""
        copies = self._copies.get(key, ())
        if sum(map(self._counts, copies)) < 2:
            self._split.discard(key)
            if len(copies) < 2:
                del self._double[key]
                del self._names[key]
            else:
                self._double[key] = None
        elif self._double[key] is None:
            self._double[key] = now.monotonic
            heappush(self._due, (now.monotonic + SPLIT_AFTER, key))
            self._effects.append(WakeAt(now.monotonic + SPLIT_AFTER))
