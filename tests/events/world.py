"""A small world of hosts and domains whose life makes consistent changes, for the tests of the stream."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from msgspec.structs import replace

from avirt.model.change import (
    Added,
    Change,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Rebooted,
    Removed,
    Renamed,
    StateChanged,
    Updated,
)
from avirt.model.native_event import BalloonChange
from avirt.model.record import DomainKey, DomainRecord, HostFacts, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason

FACTS = HostFacts(uuid=UUID(int=1), hostname="h", product="TEST", driver="sim")
OTHER_FACTS = HostFacts(uuid=UUID(int=2), hostname="h", product="TEST", driver="sim")


def key(number: int) -> Key:
    """The key of domain `number`."""
    return Key(number.to_bytes(16, "big"))


def running(host: str = "h0", number: int = 1, *, name: str = "") -> DomainRecord:
    """A running domain."""
    return DomainRecord(
        host=host,
        key=key(number),
        name=name or f"vm{number}",
        state=DomainState.RUNNING,
        reason=RunningReason.BOOTED,
        id=number,
        active=True,
    )


class World:
    """Makes changes as the lifecycle would: revisions by host, each `before` the `after` before it."""

    def __init__(self) -> None:
        self.records: dict[DomainKey, DomainRecord] = {}
        self.revisions: dict[str, int] = {}
        self.clock = 1000.0
        self.history: list[Change] = []
        """As published, without numbers."""

    def _stamp(self, host: str) -> tuple[int, float]:
        self.clock += 1
        revision = self.revisions[host] = self.revisions.get(host, 0) + 1
        return revision, self.clock

    def _done(self, change: Change) -> Change:
        self.history.append(replace(change))
        return change

    def add(self, host: str, number: int) -> Change | None:
        """It comes into sight; None if it is there."""
        domain = DomainKey(host, key(number))
        if domain in self.records:
            return None
        revision, now = self._stamp(host)
        after = replace(running(host, number), revision=revision, observed_at=now)
        self.records[domain] = after
        return self._done(
            Added(host=host, key=domain.key, name=after.name, after=after, revision=revision, observed_at=now)
        )

    def remove(self, host: str, number: int) -> Change | None:
        """It is gone; None if it was not there."""
        before = self.records.pop(DomainKey(host, key(number)), None)
        if before is None:
            return None
        revision, now = self._stamp(host)
        return self._done(
            Removed(host=host, key=before.key, name=before.name, before=before, revision=revision, observed_at=now)
        )

    def change(self, host: str, number: int, what: str) -> Change | None:
        """One step of its life: state, update, rename, reboot."""
        domain = DomainKey(host, key(number))
        before = self.records.get(domain)
        if before is None:
            return None
        revision, now = self._stamp(host)
        kind: type[StateChanged | Updated | Rebooted | Renamed] = StateChanged
        after = replace(before, revision=revision, observed_at=now)
        match what:
            case "state" if before.active:
                after = replace(
                    after, state=DomainState.SHUTOFF, reason=ShutoffReason.SHUTDOWN, id=None, active=False, since=now
                )
            case "state":
                after = replace(
                    after, state=DomainState.RUNNING, reason=RunningReason.BOOTED, id=number, active=True, since=now
                )
            case "update":
                kind, after = Updated, replace(after, autostart=not before.autostart)
            case "reboot":
                kind, after = Rebooted, replace(after, marker=revision)
            case _:
                kind, after = Renamed, replace(after, name=f"{before.name}'")
        self.records[domain] = after
        return self._done(
            kind(
                host=host,
                key=domain.key,
                name=after.name,
                before=before,
                after=after,
                revision=revision,
                observed_at=now,
            )
        )

    def native(self, host: str, number: int) -> Change:
        """A native event."""
        revision, now = self._stamp(host)
        return self._done(
            BalloonChange(host=host, key=key(number), actual_kib=revision, revision=revision, observed_at=now)
        )

    def host(self, host: str, what: str) -> Change:
        """A change of the host itself: connected, lost, resynced, replaced."""
        revision, now = self._stamp(host)
        change: Change
        match what:
            case "connected":
                change = HostConnected(host=host, facts=FACTS, revision=revision, observed_at=now)
            case "lost":
                change = HostLost(host=host, why="gone", revision=revision, observed_at=now)
            case "resynced":
                change = HostResynced(host=host, domains=len(self.records), revision=revision, observed_at=now)
            case _:
                for domain in [domain for domain in self.records if domain.host == host]:
                    del self.records[domain]
                change = HostReplaced(host=host, before=FACTS, after=OTHER_FACTS, revision=revision, observed_at=now)
        return self._done(change)

    def flips(self, count: int, *, host: str = "h0", number: int = 1) -> Iterator[Change]:
        """A domain that is switched on and off; it is made if need be."""
        made = self.add(host, number)
        if made is not None:
            count -= 1
            yield made
        for _ in range(count):
            change = self.change(host, number, "state")
            assert change is not None
            yield change
