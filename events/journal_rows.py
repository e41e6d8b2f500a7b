"""What the journal writes of changes: a row each, the last record of each domain, and what is known of each host."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from avirt.events.codec import pack, pack_facts, pack_record
from avirt.events.hosts import HostMemory
from avirt.events.journal_schema import checksum, wire_name
from avirt.model.change import Change, HostConnected, HostLost, HostReplaced, HostResynced, RecordChange, StoreChange
from avirt.model.record import HostFacts, Key

__all__ = ["Books"]


class _Note:
    """What is written of a host."""

    def __init__(self, memory: HostMemory) -> None:
        self.facts: HostFacts | None = memory.facts
        self.revision = memory.revision
        self.connected = memory.connected
        self.lost_at = memory.lost_at
        self.lost_why = memory.lost_why

    def follow(self, change: Change) -> None:
        """As `KnownHost` does."""
        self.revision = max(self.revision, change.revision)
        match change:
            case HostConnected():
                self.connected, self.facts = True, change.facts
            case HostReplaced():
                self.facts = change.after
            case HostResynced():
                self.lost_at, self.lost_why = None, ""
            case HostLost():
                self.connected = False
                if self.lost_at is None:
                    self.lost_at, self.lost_why = change.observed_at, change.why
            case _:
                pass

    def row(self, host: bytes) -> tuple[bytes, int, int, float | None, bytes, bytes | None, int]:
        """Of the table `hosts`."""
        facts = None if self.facts is None else pack_facts(self.facts)
        fields = (host, self.revision, int(self.connected), self.lost_at, wire_name(self.lost_why), facts)
        return (*fields, checksum(*fields))


class Books:
    """Writes batches, each within a transaction of its caller's.

    Args:
        memory: what is in the file by now.
    """

    def __init__(self, memory: Mapping[str, HostMemory]) -> None:
        self._notes = {host: _Note(known) for host, known in memory.items()}

    def write(self, db: sqlite3.Connection, batch: Sequence[Change], at: float) -> None:
        """All of a batch."""
        rows: list[tuple[int, float, int, bytes]] = []
        latest: dict[tuple[str, Key], RecordChange] = {}
        replaced: set[str] = set()
        hosts: set[str] = set()
        for change in batch:
            data = pack(change)
            rows.append((change.seq, at, checksum(change.seq, at, data), data))
            if isinstance(change, StoreChange):
                continue
            hosts.add(change.host)
            self._note(change.host).follow(change)
            if isinstance(change, RecordChange):
                latest[change.host, change.key] = change
            elif isinstance(change, HostReplaced):
                replaced.add(change.host)
                latest = {place: kept for place, kept in latest.items() if place[0] != change.host}
        db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?)", rows)
        db.executemany("DELETE FROM domains WHERE host = ?", [(wire_name(host),) for host in replaced])
        gone = [(wire_name(host), key) for (host, key), change in latest.items() if change.after is None]
        db.executemany("DELETE FROM domains WHERE host = ? AND key = ?", gone)
        records = [_domain_row(change) for change in latest.values() if change.after is not None]
        db.executemany("INSERT OR REPLACE INTO domains VALUES (?, ?, ?, ?, ?)", records)
        notes = [self._notes[host].row(wire_name(host)) for host in hosts]
        db.executemany("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?)", notes)

    def forget(self, db: sqlite3.Connection, host: str) -> None:
        """The host is not looked after any more."""
        self._notes.pop(host, None)
        db.execute("DELETE FROM domains WHERE host = ?", (wire_name(host),))
        db.execute("DELETE FROM hosts WHERE host = ?", (wire_name(host),))

    def _note(self, host: str) -> _Note:
        note = self._notes.get(host)
        if note is None:
            note = self._notes[host] = _Note(HostMemory())
        return note


def _domain_row(change: RecordChange) -> tuple[bytes, bytes, int, int, bytes]:
    assert change.after is not None
    host, data = wire_name(change.host), pack_record(change.after)
    return (host, change.key, change.seq, checksum(host, change.key, change.seq, data), data)
