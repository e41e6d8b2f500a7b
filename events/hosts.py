"""What a store knows of one host: its records, its status, and what is remembered for readers that are behind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from avirt.events.policies import Latest, What
from avirt.events.records import Records
from avirt.model.change import (
    Change,
    HostChange,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Origin,
    Rebooted,
    RecordChange,
    StateChanged,
)
from avirt.model.record import Certainty, DomainRecord, HostFacts, HostState, HostStatus, Key

__all__ = ["HostMemory", "KnownHost"]

_MOVES: Final = (StateChanged, Rebooted)

# a domain's key is 16 bytes: these are a host's own places
_LINK: Final = Key(b"link")
_REPLACED: Final = Key(b"replaced")

W = TypeVar("W", bound=What)


class HostMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process, or an earlier connection, knew of a host at its end.

    Attributes:
        facts: of its last connection.
        revision: no Change of the host had a higher one.
        connected: the stream has not said that the connection is lost.
        lost_at, lost_why: of a loss that was not made good by then.
        records: each with the seq of its last change, in that order.
    """

    facts: HostFacts | None = None
    revision: int = 0
    connected: bool = False
    lost_at: float | None = None
    lost_why: str = ""
    records: Mapping[Key, tuple[int, DomainRecord]] = {}


class KnownHost:
    """One host, brought up to date by its changes.

    The three dicts are in order of seq: what changes goes to the end.

    Attributes:
        status: as of the last change of the host itself, or as the engine set it.
        revision: of the last change of all.
        domains: the latest of each domain; `records` shows their records.
        tombs: of domains that are gone.
        marks: the host's own last changes.
        others: seq of the last change that can't be merged.
        cleared: changes up to this seq are those of another host.
    """

    __slots__ = (
        "_connected",
        "_lost_at",
        "_lost_why",
        "cleared",
        "domains",
        "marks",
        "others",
        "records",
        "revision",
        "status",
        "tombs",
    )

    def __init__(self, status: HostStatus, *, cleared: int = 0) -> None:
        self.status = status
        self.revision = status.revision
        self.domains: dict[Key, Latest[DomainRecord]] = {}
        self.tombs: dict[Key, Latest[RecordChange]] = {}
        self.marks: dict[Key, Latest[HostChange]] = {}
        self.records = Records(self.domains)
        self.others = 0
        self.cleared = cleared
        self._connected = 0  # seq of the last HostConnected
        # wall clock and reason of a loss that was not yet made good by a complete listing
        self._lost_at: float | None = None
        self._lost_why = ""

    def recall(self, memory: HostMemory) -> None:
        """Begin with what an earlier process knew: it is stale until the host is connected again."""
        self.revision = memory.revision
        self._lost_at, self._lost_why = memory.lost_at, memory.lost_why
        for key, (seq, record) in memory.records.items():
            self.domains[key] = Latest(record, Origin.LIST, seq, 0, 0, seq, 0)

    def memory(self) -> HostMemory:
        """What is known of it at the end of a connection, whose loss was told."""
        return HostMemory(
            facts=self.status.facts,
            revision=self.revision,
            lost_at=self._lost_at,
            lost_why=self._lost_why,
            records={key: (latest.seq, latest.what) for key, latest in self.domains.items()},
        )

    def current(self) -> HostStatus:
        """The status, with the revision."""
        if self.status.revision != self.revision:
            self.status = replace(self.status, revision=self.revision)
        return self.status

    # ------------------------------------------------------------ changes

    def keep(self, change: RecordChange, seq: int) -> Latest[RecordChange] | None:
        """Take in a domain's change; returns the tombstone if the domain is gone by it."""
        key = change.key
        after = change.after
        old = self.domains.pop(key, None)
        if after is None:
            return self._bury(change, seq, old)
        if old is not None:
            moved = seq if isinstance(change, _MOVES) else old.moved
            self.domains[key] = Latest(after, change.origin, seq, old.born, old.added, moved, old.kept + 1)
            return None
        tomb = self.tombs.pop(key, None)
        born, kept = (seq, 0) if tomb is None else (tomb.born, tomb.kept)
        self.domains[key] = Latest(after, change.origin, seq, born, seq, seq, kept + 1)
        return None

    def prune(self, change: RecordChange) -> None:
        """A domain's change has left the ring."""
        if change.seq > self.cleared:
            latest = self.domains.get(change.key) or self.tombs[change.key]
            latest.kept -= 1

    def follow(self, change: Change, seq: int) -> None:
        """Take in a change that is not of a record: the status follows from the host's own."""
        self.others = seq
        match change:
            case HostConnected():
                self._connected = seq
                self.status = HostStatus(
                    name=change.host, state=HostState.LIVE, since=change.observed_at, facts=change.facts
                )
            case HostResynced():
                self._lost_at, self._lost_why = None, ""
                self.status = replace(self.status, state=HostState.LIVE, why="", next_try=None, synced=True)
            case HostLost():
                if self._lost_at is None:
                    self._lost_at, self._lost_why = change.observed_at, change.why
                self.status = replace(
                    self.status,
                    state=HostState.REFUSED if change.refused else HostState.LOST,
                    since=change.observed_at,
                    why=change.why,
                    next_try=None,
                    synced=False,
                )
            case HostReplaced():
                self.domains.clear()
                self.tombs.clear()
                self.cleared = seq
                self.status = replace(self.status, facts=change.after)
                self._mark(_REPLACED, change, seq)
                return
            case _:
                return
        self._mark(_LINK, change, seq)

    def _bury(self, change: RecordChange, seq: int, old: Latest[What] | None) -> Latest[RecordChange]:
        if old is None:
            old = self.tombs.pop(change.key, None)
        born, kept = (seq, 0) if old is None else (old.born, old.kept)
        tomb = Latest(replace(change, before=None), change.origin, seq, born, seq, seq, kept + 1)
        self.tombs[change.key] = tomb
        return tomb

    def _mark(self, key: Key, change: HostChange, seq: int) -> None:
        self.marks.pop(key, None)
        self.marks[key] = Latest(change, change.origin, seq, seq, seq, seq, 0)

    # ------------------------------------------------------------ what is shown

    @property
    def live(self) -> bool:
        """All records are as live as they say themselves."""
        return self.status.state is HostState.LIVE and self._lost_at is None

    def shown(self, record: DomainRecord) -> DomainRecord:
        """The record with the certainty that follows from the host: stale if the host would not tell."""
        if self.live or record.certainty is not Certainty.LIVE:
            return record
        status = self.status
        if status.state is HostState.LIVE and self.domains[record.key].seq > self._connected:
            return record  # seen since the host came back
        return replace(
            record,
            certainty=Certainty.STALE,
            stale_since=status.since if self._lost_at is None else self._lost_at,
            stale_why=self._lost_why or status.why,
        )

    def later(self, after: int) -> list[list[Latest[What]]]:
        """Lists in order of seq that hold all that came after a seq, and more."""
        lists = (_later(self.domains, after), _later(self.tombs, after), _later(self.marks, after))
        return [latest for latest in lists if latest]


def _later(latest: dict[Key, Latest[W]], after: int) -> list[Latest[What]]:
    if latest and next(reversed(latest.values())).seq > after:
        return [*latest.values()]
    return []
