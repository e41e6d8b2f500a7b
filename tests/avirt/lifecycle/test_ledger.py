"""The books of a host: tombstones are bounded, timers come in order, a Change keeps revision and record together."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from avirt.lifecycle import Now, Probe, WakeAt
from avirt.lifecycle.ledger import TOMBSTONE_AGE, TOMBSTONES, Ledger, Timer
from avirt.model.change import Origin, Renamed
from avirt.model.record import DomainRecord, Key, key_of
from tests.avirt.lifecycle.lab import KEY, OFF, OTHER, kinds


def record(key: Key = KEY, revision: int = 1) -> DomainRecord:
    return DomainRecord(host="h", key=key, name="web", state=OFF.state, reason=OFF.reason, revision=revision)


def test_changes_step_the_revision_and_keep_the_records() -> None:
    ledger = Ledger("h")
    entry = ledger.entry(KEY)
    first = record()
    ledger.add(entry, first, Origin.LIST)
    second = replace(first, name="www", revision=2)
    ledger.change(Renamed, entry, first, second, Origin.EVENT)
    renamed = ledger.changes[-1]
    assert isinstance(renamed, Renamed)
    assert (renamed.old, renamed.new, renamed.revision) == ("web", "www", 2)
    assert ledger.records == {KEY: second}
    ledger.remove(entry, second, Origin.EVENT)
    assert (ledger.records, entry.record, entry.removed, ledger.revision) == ({}, None, True, 3)
    assert kinds(ledger.end().changes) == ["added", "renamed", "removed"]
    ledger.begin(Now(1, 1))
    assert (list(ledger.end().changes), list(ledger.end().effects)) == ([], [])


def test_tombstones_are_forgotten_when_they_are_old() -> None:
    ledger = Ledger("h")
    first = ledger.entry(KEY)
    ledger.add(first, record(), Origin.LIST)
    ledger.remove(first, record(), Origin.EVENT)
    ledger.begin(Now(TOMBSTONE_AGE / 2, 0))
    ledger.entry(OTHER)
    assert set(ledger.entries) == {KEY, OTHER}
    ledger.begin(Now(TOMBSTONE_AGE + 1, 0))
    third = ledger.entry(key_of(UUID(int=3)))
    assert list(ledger.entries.values())[-1] is third
    assert set(ledger.entries) == {OTHER, key_of(UUID(int=3))}


def test_entry_that_shows_a_record_again_or_was_removed_again_is_not_forgotten_with_its_old_tombstone() -> None:
    ledger = Ledger("h")
    for key in (KEY, OTHER):
        ledger.add(ledger.entry(key), record(key), Origin.LIST)
    ledger.begin(Now(TOMBSTONE_AGE, 0))
    ledger.remove(ledger.entry(OTHER), record(OTHER), Origin.EVENT)
    ledger.begin(Now(TOMBSTONE_AGE + 1, 0))
    ledger.entry(key_of(UUID(int=3)))
    assert {KEY, OTHER} <= set(ledger.entries)


def test_tombstones_are_bounded_in_number() -> None:
    ledger = Ledger("h")
    for number in range(TOMBSTONES + 10):
        ledger.entry(key_of(UUID(int=number)))
    assert len(ledger.entries) == TOMBSTONES


def test_new_connection_drops_tombstones_and_restarts_counts() -> None:
    ledger = Ledger("h")
    entry = ledger.entry(KEY)
    ledger.add(entry, record(), Origin.LIST)
    entry.last_event = 9
    ledger.entry(OTHER)
    ledger.restart()
    assert set(ledger.entries) == {KEY}
    assert entry.last_event == 0
    ledger.clear()
    assert (ledger.entries, ledger.records) == ({}, {})


def test_timers_come_due_in_order() -> None:
    ledger = Ledger("h")
    ledger.wake_at(2.0, Timer.RENAME, KEY)
    ledger.wake_at(1.0, Timer.HELD, OTHER)
    ledger.wake_at(1.0, Timer.REREAD, KEY)
    assert ledger.effects == [WakeAt(2.0), WakeAt(1.0), WakeAt(1.0)]
    ledger.probe(KEY)
    assert ledger.effects[-1] == Probe(KEY)
    assert ledger.next_due() is None
    ledger.begin(Now(1.0, 0))
    assert [ledger.next_due(), ledger.next_due(), ledger.next_due()] == [
        (1.0, Timer.HELD, OTHER),
        (1.0, Timer.REREAD, KEY),
        None,
    ]
